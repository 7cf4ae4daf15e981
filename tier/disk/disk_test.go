package disk

import (
	"testing"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

// stores opens a store each way: past the page cache, if the file system can, and through it.
func stores(t *testing.T, run func(t *testing.T, s *Store)) {
	for name, o := range map[string]Options{"direct": {}, "buffered": {Buffered: true}} {
		t.Run(name, func(t *testing.T) {
			o.Dir = t.TempDir()
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("bypasses the page cache: %t, in units of %d", s.direct, s.align)
			run(t, s)
			if n := s.Bytes(); n != 0 {
				t.Errorf("%d bytes in files at the end; want 0", n)
			}
		})
	}
}

func TestDiskKeepsTheContractOfATier(t *testing.T) {
	stores(t, func(t *testing.T, s *Store) {
		m := &memory{}
		tiertest.Run(t, func(layouts []tier.Layout) tier.Tier { return s.New(layouts, m.alloc) })
		if m.open != 0 {
			t.Errorf("%d buffers are open at the end; want 0", m.open)
		}
	})
}

// memory counts the buffers that a tier has open.
type memory struct{ open int }

type testBuffer struct {
	memory *memory
	bytes  []byte
}

func (m *memory) alloc(n int64) (tier.Buffer, error) {
	m.open++
	return &testBuffer{m, make([]byte, n)}, nil
}

func (b *testBuffer) Bytes() []byte { return b.bytes }

func (b *testBuffer) Close() { b.memory.open-- }
