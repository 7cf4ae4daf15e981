//go:build unix

package attend

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed4d217819/ebb/isa"
)

// guarded returns a copy of b that ends where a page begins that nothing may read.
func guarded(t *testing.T, b []byte) []byte {
	t.Helper()
	page := os.Getpagesize()
	size := (len(b) + page - 1) / page * page
	m, err := unix.Mmap(-1, 0, size+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mprotect(m[size:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	end := m[size-len(b) : size : size]
	copy(end, b)
	return end
}

// The page behind the last cell that a token sees is not there: reading it would end the process.
func TestNothingBehindTheLastCellIsRead(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds: make test runs it")
	}
	eachKernel(t, func(t *testing.T, set isa.ISA) {
		for _, typ := range kernelTypes {
			for _, dim := range []int{32, 80, 128} {
				if !kernelTakes(typ, dim) {
					continue
				}
				for _, heads := range []int{1, 2, 3, 4, 7} {
					for _, rows := range []int{1, 3, passRows, passRows + 1} {
						for _, cells := range []int{1, 2, 15, 16, 17, 31, 33, 64, 255, 257} {
							rng := seeded(int(typ), dim, heads, rows, cells)
							p := &problem{shape: shape{dim, dim, heads, 1, rows, cells}, typ: typ, scale: Scores{Factor: 0.1}}
							if p.without(set) || set == isa.Go && rows >= passRows {
								continue
							}
							p.fill(t, rng)
							p.look(seeCausal, rng)
							p.prepare()
							want, _ := p.run(t, set, 1)
							p.k, p.v = guarded(t, p.k), guarded(t, p.v)
							p.prepare()
							got, _ := p.run(t, set, 1)
							if err := sameBits(got, want); err != nil {
								t.Errorf("%v: %v", p, err)
							}
						}
					}
				}
			}
		}
	})
}

// So it is with the cells and the lists of rows that list their cells.
func TestNothingBehindListsAndTheirCellsIsRead(t *testing.T) {
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for _, typ := range kernelTypes {
			for n, dim := range []int{32, 96, 128} {
				for group := range 4 {
					rng := seeded(int(typ), dim, group)
					p := forked(t, rng, typ, dim, group+1, 2+n, 13*group, 40)
					p.prepare()
					want, _ := p.run(t, set, 1)
					p.k, p.v = guarded(t, p.k), guarded(t, p.v)
					p.prepare()
					words := guarded(t, bytesOf(p.words))
					p.words = unsafe.Slice((*int32)(unsafe.Pointer(&words[0])), len(p.words))
					p.tensors[4].data = unsafe.Pointer(&words[0])
					got, _ := p.run(t, set, 1)
					if err := sameBits(got, want); err != nil {
						t.Errorf("%v: %v", &p.problem, err)
					}
				}
			}
		}
	})
}

// No bytes in K and V make the kernel fault: every pattern of each type's scale.
func TestNoContentMakesTheKernelFault(t *testing.T) {
	eachKernel(t, func(t *testing.T, set isa.ISA) {
		for _, typ := range kernelTypes {
			rng := seeded(int(typ), 99)
			rows := 4
			if set == isa.AMX {
				rows = passRows + 1
			}
			p := &problem{shape: shape{64, 64, 3, 1, rows, 100}, typ: typ, scale: Scores{Factor: 0.1, SoftCap: 30}}
			p.fill(t, rng)
			for range 50 {
				for i := range p.k {
					p.k[i], p.v[i] = byte(rng.Uint32()), byte(rng.Uint32())
				}
				p.k, p.v = guarded(t, p.k), guarded(t, p.v)
				p.look(rng.IntN(waysToSee), rng)
				p.prepare()
				if out, _ := p.run(t, set, 1); len(out) == 0 { // it came back
					t.Fatal("no result")
				}
			}
		}
	})
}
