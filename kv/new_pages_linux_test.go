package kv

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed4d217819/ebb/internal/memory"
)

// A tree of a few tokens takes the pages in which their rows lie, and not those of a whole block: to take
// these from the system would be most of what a request that joins a batch costs the others.
func TestATreeOfOneTokenTakesThePagesOfItsRowsAlone(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil { // a page that is touched brings no others
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_THP_DISABLE, 0, 0, 0, 0) }()
	for _, policy := range []Policy{Auto, Dynamic} {
		o := uniform(policy, 3, 8*Block)
		for i := range o.Layers {
			o.Layers[i] = Shape{Heads: 2, KeyDim: 64, ValueDim: 64}
		}
		p, err := NewPool(o, ownCPU(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second one in the place of the first, perhaps
			s := p.NewSeq()
			growNaN(t, p, s, 1)
			pages := int64(0)
			for _, r := range s.tree.regions {
				n, err := memory.Resident(uintptr(unsafe.Pointer(&r.memory[0])), r.bytes())
				if err != nil {
					t.Fatal(err)
				}
				pages += n / int64(os.Getpagesize())
			}
			if most := int64(len(o.Layers) * 2 * 2); pages < 1 || pages > most {
				t.Errorf("%v: a tree of one token has %d pages in memory, want one for each layer and head, of keys and of values: at most %d", policy, pages, most)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
