package ggml

import (
	"runtime"
	"slices"
	"testing"
)

func TestTheCPUNamesTheFeaturesItsKernelsUse(t *testing.T) {
	got := openCPU(t, 0).Device().Features()
	if want := "SSE3"; runtime.GOARCH == "amd64" && !slices.Contains(got, want) { // every x86-64 build has it
		t.Errorf("features %q, want %s among them", got, want)
	}
	if slices.Contains(got, "") {
		t.Errorf("features %q, want no empty ones", got)
	}
}
