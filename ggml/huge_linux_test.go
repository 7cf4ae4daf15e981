package ggml

import (
	"bytes"
	"os"
	"testing"

	"github.com/seed4d217819/ebb/internal/memory"
)

// Weights lie in huge pages where the system has them, and other memory does when its owner asks.
func TestWeightsAreInHugePages(t *testing.T) {
	setting, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || !bytes.Contains(setting, []byte("[madvise]")) {
		t.Skipf("cpu: huge pages are not those that are asked for: %s%v", setting, err)
	}
	b := openCPU(t, 0)
	const size = 32 << 20
	used := func(p Purpose, ask bool) int64 {
		buf, err := b.Alloc(b.PlainHostBufferType(), size, p)
		if err != nil {
			t.Fatal(err)
		}
		defer buf.Close()
		if ask {
			buf.UseHugePages()
		}
		before := hugeBytes(t)
		buf.Clear()
		return hugeBytes(t) - before
	}
	if got := used(Regions, false); got != 0 {
		t.Errorf("%d bytes of memory for which nobody asks are in huge pages", got)
	}
	weights, slots := used(Weights, false), used(Slots, true)
	if weights == 0 && slots == 0 {
		t.Skip("cpu: the system has no huge page free")
	}
	if least := int64(size / 2); weights < least || slots < least {
		t.Errorf("of %d bytes, %d of weights and %d of slots are in huge pages; want at least half", size, weights, slots)
	}
}

func hugeBytes(t *testing.T) (n int64) {
	t.Helper()
	all, err := memory.Mappings()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		n += m.Huge
	}
	return n
}
