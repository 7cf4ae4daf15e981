package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// loadingBar shows on a terminal how far loading is, if it takes a while.
type loadingBar struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	began    time.Time
	bar      *progressbar.ProgressBar
}

// shortLoading is how long a model may load before anything is shown.
const shortLoading = 500 * time.Millisecond

func newLoadingBar(w io.Writer) *loadingBar {
	return &loadingBar{w: w, terminal: isTerminal(w), now: time.Now, began: time.Now()}
}

// update shows how many bytes of the weights are ready, of how many.
func (l *loadingBar) update(done, total int64) {
	if !l.terminal {
		return
	}
	if l.bar == nil { // from the beginning, so that its rate is that of all bytes
		l.bar = newBar(l, "loading the model", total)
	}
	_ = l.bar.Set64(done) // a bar that cannot be drawn does no harm
}

// Write is the bar's: what it draws is dropped while loading has not taken long.
func (l *loadingBar) Write(drawn []byte) (int, error) {
	if l.now().Sub(l.began) < shortLoading {
		return len(drawn), nil
	}
	return l.w.Write(drawn)
}

// clear removes the bar from the terminal, so that something else can be written there.
func (l *loadingBar) clear() {
	if l.bar != nil {
		_ = l.bar.Clear() // see update
	}
	l.bar = nil
}

// newBar returns a bar for some bytes.
func newBar(w io.Writer, name string, total int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(name),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(20),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}
