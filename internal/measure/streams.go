package measure

import (
	"cmp"
	"context"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// Streams are a resident arm and arms that stream over links. The rates of the links follow from
// how long a resident step computes.
type Streams struct {
	Arms []Arm // the resident one first; the caller closes them

	o     Options
	at    Point
	room  int     // most tokens of a sequence
	bytes float64 // fetched by a step
	alone float64 // seconds that a resident step computes, from a few rounds
}

// NewStreams returns a Streams without arms, for sequences of room tokens.
func NewStreams(o Options, at Point, room int) *Streams { return &Streams{o: o, at: at, room: room} }

// OpenResident opens the resident arm, and measures it.
func (st *Streams) OpenResident(ctx context.Context) error {
	a, err := OpenEbb("ebb static", st.o, st.at.Setting, ebb.Options{Cache: kv.Static, Context: st.room})
	if err != nil {
		return err
	}
	st.Arms = append(st.Arms, a)
	each, err := a.RowBytes(st.at.Setting)
	if err != nil {
		return err
	}
	st.bytes = FetchedBytes(each, st.at.Depth, st.o.Pace)
	st.o.Progress(fmt.Sprintf("%s at depth %d, %v: how long a resident step computes", st.at.Workload, st.at.Depth, st.at.Setting))
	pace := st.o.Pace
	pace.Rounds = min(3, pace.Rounds)
	rows, err := Measure(ctx, st.Arms, st.at, pace)
	if err != nil {
		return err
	}
	st.alone = rows[0].P25
	return nil
}

// Open opens an arm none of whose layers is resident, unless the options say so, with as many slots as
// those of the streams have, or as they say.
func (st *Streams) Open(name string, with ebb.Options) (*Ebb, error) {
	with.Cache, with.Context, with.Slots = kv.Offloaded, st.room, cmp.Or(with.Slots, st.o.Slots)
	a, err := OpenEbb(name, st.o, st.at.Setting, with)
	if err == nil {
		st.Arms = append(st.Arms, a)
	}
	return a, err
}

// Transfer returns the seconds that a link takes for a step if it transfers ratio times as long as
// a step computes.
func (st *Streams) Transfer(ratio float64) float64 { return ratio * st.alone }

// Rate returns the bytes a second of that link.
func (st *Streams) Rate(ratio float64) float64 { return st.bytes / st.Transfer(ratio) }
