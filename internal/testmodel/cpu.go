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
	return open(tb, library(tb), "cpu", ggml.Options{Threads: threads})
}

// Vulkan opens the first Vulkan device for a test, and skips the test if the libraries or the device are
// missing.
func Vulkan(tb testing.TB) *ggml.Backend {
	tb.Helper()
	l := library(tb)
	if _, err := l.Device("vulkan0"); err != nil {
		tb.Skip("no device vulkan0: run make vulkan")
	}
	return open(tb, l, "vulkan0", ggml.Options{})
}

// library loads the libraries, and skips the test if they are missing.
func library(tb testing.TB) *ggml.Library {
	tb.Helper()
	l, err := ggml.Load()
	if errors.Is(err, ggml.ErrNoLibrary) {
		tb.Skipf("%v: run make libs", err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// open opens a device until the test ends.
func open(tb testing.TB, l *ggml.Library, name string, o ggml.Options) *ggml.Backend {
	tb.Helper()
	device, err := l.Device(name)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := device.Open(o)
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
