package product

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
)

// types are those that there are formats for, in order.
var types = slices.Sorted(maps.Keys(formats))

// unpack is the inverse of Pack.
func unpack(t ggml.Type, panels []byte, in int64) []byte {
	f, row := formats[t], t.RowSize(in)
	rows := make([]byte, len(panels))
	for at := range int64(len(panels)) / f.bytes { // blocks of rows, in the order of the file
		r, u := at/(row/f.bytes), at%(row/f.bytes)
		f.unpackBlock(rows[at*f.bytes:][:f.bytes], panels[r/Rows*Rows*row+u*f.bytes*Rows:], int(r%Rows))
	}
	return rows
}

// randomBytes returns n bytes of any value.
func randomBytes(rng *rand.Rand, n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// The fields of a format are each byte of the file's block once.
func TestFormatsHoldTheFilesBytes(t *testing.T) {
	for _, typ := range types {
		f := formats[typ]
		if f.values != typ.BlockSize() || f.bytes != typ.RowSize(f.values) {
			t.Errorf("%v: %d values in %d bytes", typ, f.values, f.bytes)
		}
		seen := make([]int, f.bytes)
		for _, p := range f.fields {
			for i := range p.n * p.size {
				seen[p.at+i]++
			}
		}
		if slices.Min(seen) != 1 || slices.Max(seen) != 1 {
			t.Errorf("%v: bytes occur %v times", typ, seen)
		}
	}
}

func TestUnpackingGivesTheFilesRows(t *testing.T) {
	rng := seeded(1)
	for _, typ := range types {
		for _, units := range []int64{1, 3} {
			for _, out := range []int64{32, 96} {
				in := units * formats[typ].values
				rows := randomBytes(rng, out*typ.RowSize(in))
				panels := make([]byte, len(rows))
				Pack(typ, panels, rows, in)
				if !bytes.Equal(unpack(typ, panels, in), rows) {
					t.Errorf("%v [%d, %d]: other bytes", typ, in, out)
				}
			}
		}
	}
}

// The processor's vectors put words where plain Go does, and touch nothing beside the rows and the unit.
func TestVectorsPackAsPlainGo(t *testing.T) {
	if !hasPackWords() {
		t.Skip("cpu: there is no code for it")
	}
	rng := seeded(3)
	for _, n := range []int64{4, 8, 16, 32} {
		for _, gap := range []int64{0, 2, 18} {
			for _, flip := range []uint32{0, 0x80808080, 0x01020304} {
				row := 4*n + gap
				want := make([]byte, 4*n*Rows)
				for _, where := range []guard{guardBefore, guardBehind} {
					rows, got := guarded(t, int(Rows*row-gap), where), guarded(t, len(want), where)
					copy(rows, randomBytes(rng, int64(len(rows))))
					f := field{n: n, size: 4, flip: flip}
					f.packWordsFrom(0, unsafe.Pointer(&want[0]), unsafe.Pointer(&rows[0]), row)
					packWords(unsafe.Pointer(&got[0]), unsafe.Pointer(&rows[0]), row, n, flip)
					if !bytes.Equal(got, want) {
						t.Errorf("%d words of rows %d bytes apart, flipped by %#x: other bytes than plain Go's", n, row, flip)
					}
				}
			}
		}
	}
}

// Some numbers of a panel are where the comment of format says that they are.
func TestPackPutsNumbersWhereTheFormatSays(t *testing.T) {
	in := int64(256)
	rows := make([]byte, 64*ggml.Q6_K.RowSize(in))
	rows[(32+17)*210+64+32+13] = 0xA5 // ql of half 1, quarter 1, group 3, row 17 of the second panel
	rows[(32+17)*210+192+6] = 0x77    // a scale
	panels := make([]byte, len(rows))
	Pack(ggml.Q6_K, panels, rows, in)
	panel := panels[32*210:]
	if at := ((1*2+1)*8+3)*128 + 17*4 + 1; panel[at] != 0xA5 {
		t.Errorf("code at %d, want it at %d", bytes.IndexByte(panel, 0xA5), at)
	}
	if at := 32*128 + 16*128 + 1*128 + 17*4 + 2; panel[at] != 0x77 {
		t.Errorf("scale at %d, want it at %d", bytes.IndexByte(panel, 0x77), at)
	}
	row := make([]byte, 32*34)
	row[31*34+2+31] = 0x81 // -127
	q8 := make([]byte, len(row))
	Pack(ggml.Q8_0, q8, row, 32)
	if at := 7*128 + 31*4 + 3; q8[at] != 1 || q8[0] != 128 {
		t.Errorf("codes of -127 and 0: %d and %d, want 1 and 128", q8[at], q8[0])
	}
}

func TestPackRefusesWhatDoesNotFit(t *testing.T) {
	b := make([]byte, 32*18*2)
	for name, call := range map[string]func(){
		"no format for it": func() { Pack(ggml.F16, b, b, 32) },
		"half a block":     func() { Pack(ggml.Q4_0, b, b, 16) },
		"no values":        func() { Pack(ggml.Q4_0, b, b, 0) },
		"31 rows":          func() { Pack(ggml.Q4_0, b[:31*18], b[:31*18], 32) },
		"another length":   func() { Pack(ggml.Q4_0, b, b[:32*18], 32) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				err, _ := recover().(error)
				var e *ggml.ShapeError
				if !errors.As(err, &e) || !strings.Contains(e.Reason, "want") {
					t.Errorf("got %v, want a ShapeError that says what it wants", err)
				}
			}()
			call()
		})
	}
}

func TestSeveralGoroutinesPackOneMatrix(t *testing.T) {
	const in, panels = 512, 8
	rng := seeded(2)
	rows := randomBytes(rng, panels*Rows*ggml.Q4_K.RowSize(in))
	want, got := make([]byte, len(rows)), make([]byte, len(rows))
	Pack(ggml.Q4_K, want, rows, in)
	size := len(rows) / panels
	var wg sync.WaitGroup
	for i := range panels {
		wg.Go(func() { Pack(ggml.Q4_K, got[i*size:][:size], rows[i*size:][:size], in) })
	}
	wg.Wait()
	if !bytes.Equal(got, want) {
		t.Error("other bytes than at once")
	}
}

func BenchmarkPack(b *testing.B) {
	for _, typ := range types {
		b.Run(typ.String(), func(b *testing.B) {
			rows := make([]byte, 2048*typ.RowSize(2048))
			dst := make([]byte, len(rows))
			b.SetBytes(int64(len(rows)))
			for b.Loop() {
				Pack(typ, dst, rows, 2048)
			}
		})
	}
}
