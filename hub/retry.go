package hub

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// retryAfter returns how long a server asks to wait: in seconds, or until a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(min(seconds, int(maxWait/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return min(at.Sub(now), maxWait)
	}
	return 0
}

const (
	maxTries = 5               // that come to nothing, one after the other
	maxWait  = 5 * time.Minute // the window in which the hub counts requests
)

// retry calls fn until it succeeds, fails for good, or has failed so often without getting on in
// between.
func (f *fetcher) retry(ctx context.Context, tries int, fn func() (gotOn bool, err error)) error {
	pause := f.pause
	for try := 1; ; try++ {
		gotOn, err := fn()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if gotOn {
			try, pause = 1, f.pause
		}
		busy, isBusy := errors.AsType[busyError](err)
		_, isCut := errors.AsType[cutError](err)
		if try >= tries || !isBusy && !isCut {
			return err
		}
		wait := max(busy.after, pause)
		f.note("%v; trying again in %v", err, wait.Round(time.Millisecond))
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		pause *= 2
	}
}
