package bench

import (
	"context"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// streams are a resident arm and arms that stream over links, whose rates follow
// from how long a resident step computes.
type streams struct {
	o     Options
	at    point
	room  int     // tokens that there may be
	arms  []arm   // the resident one first; the caller closes them
	bytes float64 // that a step fetches
	alone float64 // seconds that a resident step computes, by a few rounds
}

// openResident opens the resident arm, and measures it.
func (st *streams) openResident(ctx context.Context) error {
	a, err := openEbb("ebb static", st.o, st.at.setting, ebb.Options{Cache: kv.Static, Context: st.room})
	if err != nil {
		return err
	}
	st.arms = append(st.arms, a)
	each, err := a.rowBytes(st.at.setting)
	if err != nil {
		return err
	}
	st.bytes = fetchedBytes(each, st.at.depth, st.o.Pace)
	st.o.Progress(fmt.Sprintf("%s at depth %d, %v: how long a resident step computes", st.at.workload, st.at.depth, st.at.setting))
	pace := st.o.Pace
	pace.Rounds = min(3, pace.Rounds)
	rows, err := measure(ctx, st.arms, st.at, pace)
	if err != nil {
		return err
	}
	st.alone = rows[0].P25
	return nil
}

// open opens an arm none of whose layers is resident.
func (st *streams) open(name string, with ebb.Options) (*ebbArm, error) {
	with.Cache, with.Context, with.Slots = kv.Offloaded, st.room, st.o.Slots
	a, err := openEbb(name, st.o, st.at.setting, with)
	if err == nil {
		st.arms = append(st.arms, a)
	}
	return a, err
}

// transfer is how long a link takes for a step, ratio times as long as computing,
// and rate its bytes a second.
func (st *streams) transfer(ratio float64) float64 { return ratio * st.alone }
func (st *streams) rate(ratio float64) float64     { return st.bytes / st.transfer(ratio) }
