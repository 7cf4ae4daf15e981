package testmodel

import (
	"errors"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

// CPU opens the CPU for a test that computes with a model, and skips the test if the libraries are
// missing.
func CPU(tb testing.TB, threads int) *ggml.Backend {
	tb.Helper()
	library, err := ggml.Load()
	if errors.Is(err, ggml.ErrNoLibrary) {
		tb.Skipf("%v: run make libs", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	device, err := library.Device("cpu")
	if err != nil {
		tb.Fatal(err)
	}
	b, err := device.Open(ggml.Options{Threads: threads})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}
