package main

import (
	"strings"
	"testing"
	"time"
)

func TestALoadingBarIsShownOnATerminalIfLoadingTakesAWhile(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		took     time.Duration
		want     bool
	}{
		{"short", true, shortLoading - 1, false},
		{"long", true, shortLoading, true},
		{"no terminal", false, time.Hour, false},
	} {
		var out strings.Builder
		began := time.Now()
		bar := &loadingBar{w: &out, terminal: test.terminal, began: began, now: func() time.Time { return began.Add(test.took) }}
		bar.update(1<<20, 4<<20)
		bar.update(2<<20, 4<<20)
		bar.clear()
		bar.clear()
		if got := strings.Contains(out.String(), "loading the model"); got != test.want {
			t.Errorf("%s: wrote %q", test.name, out.String())
		}
	}
}
