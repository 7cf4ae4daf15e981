package attend

import (
	"encoding/binary"
	"math"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
)

// reference is the op in plain Go, with which tests compare the kernel, and which replaces it where
// there is none. It computes the rows and heads thread, thread + threads, …
func reference(dst *tensor, thread, threads int) {
	if ggml.Type(dst.src[1].typ) != ggml.I64 {
		one := treePart{rows: int(dst.src[0].ne[2]), k: *dst.src[1], v: *dst.src[2], spans: wordsOf(dst.src[3])}
		one.attend(dst, thread, threads)
		return
	}
	h := (*tableHeader)(dst.src[1].data)
	table := unsafe.Slice((*treeEntry)(unsafe.Add(unsafe.Pointer(h), unsafe.Sizeof(*h))), (int(dst.src[1].ne[0])-headerWords)/entryWords)
	for i := range table {
		e := &table[i]
		rows := func(at, head, dim, cell int64) tensor {
			return tensor{typ: int32(h.typ), data: pointerTo(at), ne: [4]int64{dim, e.cells, h.kvHeads, 1}, nb: [4]uint64{0, uint64(cell), uint64(head)}}
		}
		one := treePart{
			first: int(e.row0), rows: int(e.rows), spans: wordsOf(dst.src[3])[e.spans/4:],
			k: rows(e.k, e.kHead, dst.src[0].ne[0], h.kCell), v: rows(e.v, e.vHead, h.dv, h.vCell),
		}
		one.attend(dst, thread, threads)
		if e.itemEnd == h.items {
			return
		}
	}
}

// pointerTo returns an address as a pointer. Memory there is C's.
func pointerTo(at int64) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

// treePart is what an op has to do with one tree.
type treePart struct {
	first, rows int // of the op
	k, v        tensor
	spans       visibility
}

// attend computes the tree's rows and heads thread, thread + threads, …
func (p *treePart) attend(dst *tensor, thread, threads int) {
	q := dst.src[0]
	heads, rows, valueDim := int(q.ne[1]), int(q.ne[2]), int(p.v.ne[0])
	out := unsafe.Slice((*float32)(dst.data), rows*heads*(valueDim+1))
	out, lse := out[:rows*heads*valueDim], out[rows*heads*valueDim:]
	group := heads / int(p.k.ne[2])
	for i := p.first*heads + thread; i < (p.first+p.rows)*heads; i += threads {
		row, head := i/heads, i%heads
		query := unsafe.Slice((*float32)(q.at(0, head, row)), q.ne[0])
		sink := float32(math.Inf(-1))
		if sinks := dst.src[4]; sinks != nil {
			sink = *(*float32)(sinks.at(head, 0, 0))
		}
		lse[i] = attendRow(out[i*valueDim:][:valueDim], query, &p.k, &p.v, head/group, dst.params, sink, p.spans.row(row-p.first, int(p.k.ne[1])))
	}
}

// attendRow computes one head of a row over the cells that it sees and the sink, and returns the
// logarithm of the sum of its weights.
func attendRow(out, query []float32, k, v *tensor, head int, p params, sink float32, sees func(yield func(cell int) bool)) float32 {
	key, value, sum := make([]float32, k.ne[0]), make([]float32, v.ne[0]), make([]float64, v.ne[0])
	most, weights := -math.MaxFloat32, 0.0
	weigh := func(score float64) float64 {
		if score > most {
			shrink := math.Exp2(most - score)
			weights *= shrink
			for i := range sum {
				sum[i] *= shrink
			}
			most = score
		}
		w := math.Exp2(score - most)
		weights += w
		return w
	}
	for cell := range sees {
		k.row(key, cell, head)
		score := 0.0
		for i, x := range key {
			score += float64(x) * float64(query[i])
		}
		score *= float64(p.scale)
		if p.cap != 0 {
			score = float64(p.cap) * math.Tanh(score*math.Ln2/2)
		}
		v.row(value, cell, head)
		w := weigh(score)
		for i, x := range value {
			sum[i] += w * float64(x)
		}
	}
	weigh(min(float64(sink)*math.Log2E, math.MaxFloat32))
	if weights == 0 {
		clear(out)
		return float32(math.Inf(-1))
	}
	for i, x := range sum {
		out[i] = float32(x / weights)
	}
	return float32((most + math.Log2(weights)) * math.Ln2)
}

// at returns the address of the elements at i0, i1 and i2.
func (t *tensor) at(i0, i1, i2 int) unsafe.Pointer {
	return unsafe.Add(t.data, i0*int(t.nb[0])+i1*int(t.nb[1])+i2*int(t.nb[2]))
}

// row writes a cell's key or value of one head to dst.
func (t *tensor) row(dst []float32, cell, head int) {
	typ := ggml.Type(t.typ)
	src := unsafe.Slice((*byte)(t.at(0, cell, head)), typ.RowSize(int64(len(dst))))
	half := func(i int) float32 { return float16(binary.LittleEndian.Uint16(src[i:])) }
	switch typ {
	case ggml.F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case ggml.F16:
		for i := range dst {
			dst[i] = half(2 * i)
		}
	case ggml.BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case ggml.Q8_0:
		for b := range len(dst) / 32 {
			d := half(34 * b)
			for i, code := range src[34*b+2:][:32] {
				dst[32*b+i] = d * float32(int8(code))
			}
		}
	case ggml.Q4_0:
		for b := range len(dst) / 32 {
			d := half(18 * b)
			for i, codes := range src[18*b+2:][:16] {
				dst[32*b+i] = d * float32(int(codes&15)-8)
				dst[32*b+16+i] = d * float32(int(codes>>4)-8)
			}
		}
	}
}

// float16 converts a half-precision number.
func float16(h uint16) float32 {
	sign, exponent, fraction := uint32(h&0x8000)<<16, uint32(h>>10)&31, uint32(h&1023)
	switch exponent {
	case 0:
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	default:
		return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
	}
}

// visibility reads spans.
type visibility []int32

func wordsOf(spans *tensor) visibility { return unsafe.Slice((*int32)(spans.data), spans.ne[0]) }

// row yields the cells that a row sees among the first ones, in the order of the places that they have
// alone.
func (s visibility) row(row, cells int) func(yield func(cell int) bool) {
	at := s[int(s[spansRows])+row*rowWords:]
	first, end, from, bits := int(at[0]), int(at[1]), int(at[2]), at[3]
	return func(yield func(cell int) bool) {
		for c := max(first, 0); c < min(end, int(s[spansCells]), cells); c++ {
			cell := c
			switch {
			case c < from:
			case bits < 0:
				if cell = int(s[int(-bits)+c-from]); cell < 0 {
					continue
				}
			case bits > 0:
				if s[bits+int32((c-from)/32)]>>((c-from)%32)&1 == 0 {
					continue
				}
			}
			if !yield(cell) {
				return
			}
		}
	}
}
