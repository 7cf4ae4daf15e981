package cputime

import (
	"runtime"
	"testing"
)

func TestProcessTimeGrowsWithWork(t *testing.T) {
	before, ok := Process()
	if !ok {
		t.Skipf("%s does not say", runtime.GOOS)
	}
	after := before
	for n := 0; after.CPU == before.CPU; n++ { // ends as soon as a tick has passed
		after, _ = Process()
	}
	if after.CPU < before.CPU || after.Faults < before.Faults {
		t.Errorf("got %+v, and %+v before", after, before)
	}
}
