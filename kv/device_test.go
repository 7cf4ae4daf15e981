package kv

import (
	"cmp"
	"os"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
)

// Backends that the tests share: a driver needs seconds for each shader that a process uses first.
// One thread, as packages are tested beside each other.
var (
	sharedCPU    = sync.OnceValues(func() (*ggml.Backend, error) { return open("cpu") })
	sharedVulkan = sync.OnceValues(func() (*ggml.Backend, error) { return open(secondDevice()) })
)

// secondDevice is the device that tests use beside the CPU: the software Vulkan one, or what
// EBB_TEST_DEVICE names.
func secondDevice() string { return cmp.Or(os.Getenv("EBB_TEST_DEVICE"), "vulkan0") }

func open(device string) (*ggml.Backend, error) {
	l, err := ggml.Load()
	if err != nil {
		return nil, err
	}
	d, err := l.Device(device)
	if err != nil {
		return nil, err
	}
	return d.Open(ggml.Options{Threads: 1})
}

func onCPU(t rapid.TB) *ggml.Backend {
	t.Helper()
	b, err := sharedCPU()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// onVulkan skips the test where no such device is listed.
func onVulkan(t rapid.TB) *ggml.Backend {
	t.Helper()
	l, err := ggml.Load()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Device(secondDevice()); err != nil {
		t.Skip("no Vulkan device: ", err)
	}
	b, err := sharedVulkan()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ownCPU is a backend whose bytes are one test's alone. All of them must have been given back at
// its end.
func ownCPU(t *testing.T, limit int64) *ggml.Backend {
	t.Helper()
	d := onCPU(t).Device()
	b, err := d.Open(ggml.Options{Threads: 1, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if n := b.Usage().Total(); n != 0 {
			t.Errorf("%d bytes in use at the end: %v; want 0", n, b.Usage().Current)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
