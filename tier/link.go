package tier

import (
	"context"
	"time"
)

// Link is a connection of a stated bandwidth: a stand-in for the DMA engine of
// a device that this machine does not have. Copies through it take bytes/rate,
// by sleeping and so without using a core. The zero value has no limit.
//
// A Link is used by one goroutine at a time.
type Link struct {
	Rate float64 // bytes a second; 0: as fast as the copy itself

	free time.Time // when the link finishes what it was given so far
}

// Pace runs transfer and returns once the link would have finished too. The
// transfer of that many bytes starts when it was requested or when the one
// before it ends, whichever is later; so a late wake-up delays one transfer and
// does not add up. A cancelled context ends the wait with its error.
func (l *Link) Pace(ctx context.Context, requested time.Time, bytes int64, transfer func() error) error {
	if err := transfer(); err != nil || l.Rate <= 0 {
		return err
	}
	start := requested
	if l.free.After(start) {
		start = l.free
	}
	l.free = start.Add(time.Duration(float64(bytes) / l.Rate * float64(time.Second)))
	wait := time.Until(l.free)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
