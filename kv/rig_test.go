package kv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// Shape of the rigs' layers: as small as quantised rows go, with grouped heads.
const (
	rigHeads   = 4
	rigKVHeads = 2
	rigDim     = 32
)

// rigOptions returns options for layers of the rigs' shape.
func rigOptions(policy Policy, layers int, typ ggml.Type) Options {
	return Options{
		Policy: policy, Layers: slices.Repeat([]Shape{{Heads: rigKVHeads, KeyDim: rigDim, ValueDim: rigDim}}, layers),
		TypeK: typ, TypeV: typ, Cells: 700, ChunkTokens: 128, Tier: stack.New(host.NewExact, nil, -1).New,
	}
}

// rig is a model that is nothing but attention: in every layer the queries, keys and values of a
// token are random numbers that depend on token and layer. Two rigs that are taken through the same
// steps have the same outputs.
type rig struct {
	t       rapid.TB
	b       *ggml.Backend
	pool    *Pool
	how     attend.Attention
	inputs  *ggml.Buffer
	used    int64 // of inputs, by the graph being built
	scratch *ggml.Scratch
	last    int32
	steps   [][]byte // what attention gave in each step, layer by layer
	during  func(layer *Layer)
	between func()      // called before each step
	failed  func() bool // whether a step that has failed for want of memory is tried again
}

func newRig(t rapid.TB, b *ggml.Backend, o Options) *rig {
	t.Helper()
	p, err := NewPool(o, b)
	if err != nil {
		t.Fatal(err)
	}
	// a chunk's queries, keys and values, its mask, and what alignment takes
	size := int64(p.ChunkTokens())*((rigHeads+2*rigKVHeads)*rigDim*4+8+int64(p.devices[0].placement.Cells)*2) + 4096
	inputs, err := b.Alloc(b.BufferType(), size, ggml.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, b: b, pool: p, how: attend.On(b.Device(), attend.Auto, isa.GGML), inputs: inputs, scratch: b.NewScratch()}
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.pool.Close(); err != nil {
		r.t.Error(err)
	}
	r.inputs.Close()
	r.scratch.Close()
}

// grow takes new tokens of each sequence through a step, and keeps what attention gave. It returns
// that too.
func (r *rig) grow(works ...growth) []byte {
	r.t.Helper()
	if r.between != nil {
		r.between()
	}
	first := r.last
	var batch []Work
	for _, w := range works {
		tokens := make([]int32, w.n)
		for i := range tokens {
			r.last++
			tokens[i] = r.last
		}
		batch = append(batch, Work{Seq: w.seq, Tokens: tokens})
	}
	ctx := context.Background()
	s, err := r.pool.Begin(ctx, batch)
	if errors.Is(err, ErrNoMemory) && r.failed != nil && r.failed() {
		r.last = first
		return r.grow(works...)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close()
	var out []byte
	for layer, err := range s.Layers(ctx) {
		if err != nil {
			r.t.Fatal(err)
		}
		if r.during != nil {
			r.during(layer)
		}
		for i := range s.Chunks() {
			if err := layer.Prepare(ctx, i); err != nil {
				r.t.Fatal(err)
			}
			for _, p := range layer.Parts(i, nil) {
				if err := layer.Acquire(ctx, p.Tree); err != nil {
					r.t.Fatal(err)
				}
				out = append(out, r.attend(s, layer, p)...)
			}
		}
	}
	if err := s.Commit(); err != nil {
		r.t.Fatal(err)
	}
	r.steps = append(r.steps, out)
	return out
}

// attend writes a part's keys and values to the layer's rows, and attends to them.
func (r *rig) attend(s *Step, layer *Layer, p Part) []byte {
	r.t.Helper()
	n := int64(p.N)
	tokens := s.Tokens()[p.First:][:p.N]
	rows := layer.Rows(p.Tree)
	x := ggml.NewContext(8)
	defer x.Close()
	r.used = 0
	q := r.input(x, ggml.F32, rigDim, rigHeads, n)
	k := r.input(x, ggml.F32, rigDim, rigKVHeads, n)
	v := r.input(x, ggml.F32, rigDim, rigKVHeads, n)
	at := r.input(x, ggml.I64, n)
	mask := r.input(x, ggml.F16, int64(p.Cells), n)

	g := r.b.NewGraph(64)
	defer g.Close()
	if !r.pool.config.shapes[layer.Index].Shares {
		g.Expand(g.SetRows(rows.K, g.Permute(k, 0, 2, 1, 3), at))
		g.Expand(g.SetRows(rows.V, g.Permute(v, 0, 2, 1, 3), at))
	}
	out := r.how.Graph(g, q, rows.K, rows.V, mask, attend.Scores{Factor: 1 / float32(math.Sqrt(rigDim))})
	g.Output(out)
	g.Expand(out)
	if _, err := r.scratch.Alloc(g); err != nil {
		r.t.Fatal(err)
	}

	for i, t := range []*ggml.Tensor{q, k, v} {
		var values []float32
		for _, token := range tokens {
			values = append(values, numbers(token, layer.Index, i, int(t.Ne(0)*t.Ne(1)))...)
		}
		ggml.SetSlice(t, values, 0)
	}
	window := r.pool.config.shapes[layer.Index].Window
	ggml.SetSlice(at, s.Places(window)[p.First:][:p.N], 0)
	bits := make([]uint16, p.N*p.Cells)
	s.Mask(p, window, bits)
	ggml.SetSlice(mask, bits, 0)
	if err := r.b.Compute(g); err != nil {
		r.t.Fatal(err)
	}
	result := make([]byte, out.Bytes())
	out.Get(result, 0)
	return result
}

func (r *rig) input(x *ggml.Context, t ggml.Type, ne ...int64) *ggml.Tensor {
	in := x.New(t, ne...)
	r.inputs.Place(in, r.used)
	align := r.inputs.Type().Alignment()
	r.used += (r.inputs.Type().AllocSize(in) + align - 1) / align * align
	return in
}

// numbers returns n numbers of [-1,1) that a token always has in a layer.
func numbers(token int32, layer, which, n int) []float32 {
	rng := rand.NewPCG(uint64(token), uint64(layer*3+which))
	f := make([]float32, n)
	for i := range f {
		f[i] = float32(int32(rng.Uint64()>>32)) / (1 << 31)
	}
	return f
}

// conversation takes a rig through all that sequences do: prefill in several chunks, decoding,
// batches of sequences and forks, truncation, reused memory.
func conversation(r *rig) {
	a, b := r.pool.NewSeq(), r.pool.NewSeq()
	r.grow(growth{a, 150}) // two chunks
	r.grow(growth{a, 1})
	r.grow(growth{b, 5}, growth{a, 1})
	f := forkOf(r.t, a)
	for range 2 {
		r.grow(growth{a, 1}, growth{b, 1}, growth{f, 1})
	}
	if err := a.Truncate(140); err != nil {
		r.t.Fatal(err)
	}
	r.grow(growth{a, 120}) // past a block
	r.grow(growth{f, 1})
	for _, s := range []*Seq{a, f} {
		if err := s.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
	c := r.pool.NewSeq()
	r.grow(growth{c, 30}, growth{b, 1})
	r.grow(growth{b, 1})
	r.grow(growth{c, 1})
}

// dialogue is a short conversation that makes a slow device compile few shaders: no parts of two to
// eight tokens.
func dialogue(r *rig) {
	a, b := r.pool.NewSeq(), r.pool.NewSeq()
	r.grow(growth{a, 40})
	r.grow(growth{a, 1})
	r.grow(growth{b, 20}, growth{a, 1})
	if err := a.Truncate(30); err != nil {
		r.t.Fatal(err)
	}
	r.grow(growth{b, 1}, growth{a, 1})
	r.grow(growth{a, 1})
}

// played returns the outputs of a script under some options. All of them are finite.
func played(t rapid.TB, b *ggml.Backend, o Options, script func(*rig), prepare ...func(*rig)) ([][]byte, Stats) {
	t.Helper()
	r := newRig(t, b, o)
	defer r.close()
	for _, p := range prepare {
		p(r)
	}
	script(r)
	r.pool.drain()
	return r.steps, r.pool.Stats()
}

// differ returns the first step whose outputs differ, or -1.
func differ(got, want [][]byte) int {
	for i := range want {
		if i >= len(got) || !bytes.Equal(got[i], want[i]) {
			return i
		}
	}
	return -1
}

// finite checks outputs that others are compared with.
func finite(t rapid.TB, steps [][]byte) {
	t.Helper()
	for i, out := range steps {
		for at := 0; at < len(out); at += 4 {
			f := float64(math.Float32frombits(binary.LittleEndian.Uint32(out[at:])))
			if math.IsNaN(f) || math.IsInf(f, 0) {
				t.Fatalf("step %d has %v in its output", i, f)
			}
		}
	}
}
