package trace

import "time"

// Track is a line of the picture. The spans on a track do not overlap.
type Track int

// The tracks of each device.
const (
	Step    Track = iota // passes through all layers, as their caller waits for them
	Compute              // graphs, and waits for the rows that the next one needs
	Fetch                // rows on their way to the device
	Store                // new rows on their way off it
)

var trackNames = [...]string{"step", "compute", "fetch", "store"}

// String returns the track's name.
func (t Track) String() string {
	if t < 0 || int(t) >= len(trackNames) {
		return "unknown"
	}
	return trackNames[t]
}

// Span is something that took time.
type Span struct {
	Device string // whose track it is; "": that of all devices together
	Track  Track
	Name   string // what it was, such as "layer" or "fetch ahead"
	Layer  int    // of the model; -1: of none
	Tokens int    // that it was for; 0: it does not matter
	Bytes  int64  // moved
	Start  time.Time
	End    time.Time
}

// Func receives a span when it has ended. It is called from several goroutines at once, and the
// work waits until it returns. A nil Func means that spans are not wanted.
type Func func(Span)

// Now returns the time for the Start of a span, or the zero time if spans are not wanted.
func (f Func) Now() time.Time {
	if f == nil {
		return time.Time{}
	}
	return time.Now()
}

// End ends a span now and passes it to the Func, if there is one.
func (f Func) End(s Span) {
	if f != nil {
		s.End = time.Now()
		f(s)
	}
}
