package tier

import "time"

// Link is a connection of a stated bandwidth: a stand-in for the DMA engine of a device that this
// machine does not have. Bytes have arrived when bytes/rate seconds have passed. The computation
// that needs them sleeps until then and uses no core. The zero value has no limit.
//
// A Link is used by one goroutine at a time.
type Link struct {
	Rate float64 // bytes a second; 0: as fast as the copy itself

	free time.Time // when the link has sent all bytes that it was given so far
	done time.Time // when the last of them had arrived: later than free if the copy was late
}

// Transfer calls transfer, which copies bytes, and returns when a link would have begun and
// finished to send as many. It begins when they were requested or when the transfer before it ends,
// whichever is later, and it does not end before the copy. An error is that of the copy, which then
// takes no time of the link.
func (l *Link) Transfer(requested time.Time, bytes int64, transfer func() error) (began, done time.Time, err error) {
	start := time.Now()
	err = transfer()
	now := time.Now()
	if err != nil || l.Rate <= 0 {
		return later(start, l.done), later(now, l.done), err
	}
	start = later(requested, l.free)
	l.free = start.Add(time.Duration(float64(bytes) / l.Rate * float64(time.Second)))
	began, done = later(start, l.done), later(l.free, now)
	l.done = done
	return began, done, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
