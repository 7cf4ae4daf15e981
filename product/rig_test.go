package product

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// testAll says that tests go through full matrices.
var testAll = os.Getenv("EBB_TEST_ALL") != ""

// inGo are the operations in plain Go.
var inGo = [operations]func(dst *tensor, thread, threads int){
	opQuantise: quantise, opNormQuantise: normQuantise, opProduct: product, opGateUp: gateUp,
	opGroup: groupPairs, opExpertProduct: expertProduct, opExpertGateUp: expertGateUp, opQuantiseGrouped: quantiseGrouped, opMix: mix,
}

// vectorISAs are the instruction sets of this processor for which there is machine code: AVX512 has
// that of AVX2.
func vectorISAs() []isa.ISA {
	return slices.DeleteFunc(isa.All(), func(set isa.ISA) bool { return set == isa.Go || set == isa.AVX512 || !vectors(set) })
}

// eachISA runs f for every instruction set, and skips those that this processor lacks.
func eachISA(t *testing.T, f func(t *testing.T, set isa.ISA)) {
	for _, set := range []isa.ISA{isa.Go, isa.AVX2, isa.AVXVNNI, isa.VNNI, isa.AMX} {
		t.Run(set.String(), func(t *testing.T) {
			if set != isa.Go && !slices.Contains(vectorISAs(), set) {
				t.Skipf("cpu: no machine code for %s here", set)
			}
			f(t, set)
		})
	}
}

func seeded(parts ...int) *rand.Rand {
	h := uint64(1)
	for _, p := range parts {
		h = h*1099511628211 + uint64(p)
	}
	return rand.New(rand.NewPCG(h, 7))
}

// normal returns n numbers.
func normal(rng *rand.Rand, n int) []float32 {
	s := make([]float32, n)
	for i := range s {
		s[i] = float32(rng.NormFloat64())
	}
	return s
}

// matrix is weights of a type.
type matrix struct {
	typ     ggml.Type
	in, out int
	file    []byte // rows as they are in a file
	packed  []byte
}

func (m *matrix) String() string { return fmt.Sprintf("%v [%d, %d]", m.typ, m.in, m.out) }

// newMatrix returns random weights.
func newMatrix(t testing.TB, rng *rand.Rand, typ ggml.Type, in, out int) *matrix {
	t.Helper()
	rows, err := ggml.Quantize(typ, normal(rng, in*out), int64(in))
	if err != nil {
		t.Fatal(err)
	}
	return matrixOf(typ, in, out, rows)
}

// matrixOf returns the weights of a file's rows.
func matrixOf(typ ggml.Type, in, out int, rows []byte) *matrix {
	m := &matrix{typ, in, out, rows, make([]byte, len(rows))}
	Pack(typ, m.packed, rows, int64(in))
	return m
}

// rig computes: in graphs on ggml's threads, or by calling operations from Go, with memory that is
// not ggml's, as machine does.
type rig struct {
	t       testing.TB
	device  *ggml.Device
	backend *ggml.Backend
	meta    *ggml.Context
	scratch *ggml.Scratch

	machines []*machine
}

// newRig returns a rig whose graphs compute with some threads. Operations have scratch for as many as
// the machine can run.
func newRig(t testing.TB, threads int) *rig {
	t.Helper()
	r := openRig(t, ggml.MostThreads())
	if err := r.backend.SetThreads(threads); err != nil {
		t.Fatal(err)
	}
	return r
}

// openRig returns a rig with some threads, whose operations have scratch for so many.
func openRig(t testing.TB, threads int) *rig {
	t.Helper()
	library, err := ggml.Load()
	if err != nil {
		t.Fatal(err)
	}
	d, err := library.Device("cpu")
	if err != nil {
		t.Fatal(err)
	}
	b, err := d.Open(ggml.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, device: d, backend: b, meta: ggml.NewContext(1 << 16), scratch: b.NewScratch()}
	t.Cleanup(r.meta.Close)
	t.Cleanup(r.scratch.Close)
	t.Cleanup(r.reset)
	return r
}

// reset frees what the rig's machines have computed so far.
func (r *rig) reset() {
	for _, m := range r.machines {
		m.graph.Close()
		m.leafs.Close()
	}
	r.machines = nil
}

// tensor returns a tensor that holds bytes.
func (r *rig) tensor(typ ggml.Type, data []byte, ne ...int64) *ggml.Tensor {
	r.t.Helper()
	x := r.meta.New(typ, ne...)
	b, err := r.backend.Alloc(r.backend.BufferType(), r.backend.BufferType().AllocSize(x), ggml.Inputs)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(b.Close)
	b.Place(x, 0)
	x.Set(data, 0)
	return x
}

func (r *rig) floats(x []float32, ne ...int64) *ggml.Tensor {
	r.t.Helper()
	return r.tensor(ggml.F32, bytesOf(x), ne...)
}

func (r *rig) weights(m *matrix) *ggml.Tensor {
	r.t.Helper()
	return r.tensor(m.typ, m.packed, int64(m.in), int64(m.out))
}

// graph allocates a graph of what build returns.
func (r *rig) graph(build func(g *ggml.Graph) []*ggml.Tensor) (*ggml.Graph, []*ggml.Tensor) {
	r.t.Helper()
	g := r.backend.NewGraph(64)
	r.t.Cleanup(g.Close)
	results := build(g)
	for _, y := range results {
		g.Output(y)
		g.Expand(y)
	}
	if _, err := r.scratch.Alloc(g); err != nil {
		r.t.Fatal(err)
	}
	return g, results
}

// numbers computes a graph and returns its results.
func (r *rig) numbers(build func(g *ggml.Graph) []*ggml.Tensor) [][]float32 {
	r.t.Helper()
	g, results := r.graph(build)
	if err := r.backend.Compute(g); err != nil {
		r.t.Fatal(err)
	}
	var all [][]float32
	for _, y := range results {
		x := make([]float32, y.Elements())
		ggml.GetSlice(y, x, 0)
		all = append(all, x)
	}
	return all
}

// machine calls operations from Go, each with some threads at the same time. They are built as in a
// graph of the rig, and their tensors lie in memory of the machine's own.
type machine struct {
	*rig
	Products
	threads int
	guard   guard
	graph   *ggml.Graph
	leafs   *ggml.Context
	kept    [][]byte // what tensors point to
	ends    []ending
}

// ending is what must still lie behind a tensor.
type ending struct {
	what   string
	behind []byte
}

// guard says whether tensors have a page beside them that nothing may read.
type guard int

const (
	unguarded guard = iota
	guardBehind
	guardBefore
)

// canary is what lies behind a tensor.
const canary = 0xA5

// machine returns a new one, which is good for some dozen operations. They and their memory live until
// the rig is reset.
func (r *rig) machine(set isa.ISA, threads int) *machine {
	m := &machine{rig: r, Products: On(r.device, set), threads: threads, graph: r.backend.NewGraph(128), leafs: ggml.NewContext(256)}
	r.machines = append(r.machines, m)
	return m
}

// place gives a tensor memory that holds data, and NaN behind it.
func (m *machine) place(x *ggml.Tensor, data []byte) *ggml.Tensor {
	m.t.Helper()
	size, room := int(x.Bytes()), 256
	var at []byte // size bytes for the tensor, and room
	if m.guard == unguarded {
		memory := make([]byte, size+room+128)
		m.kept = append(m.kept, memory)
		first := -uintptr(unsafe.Pointer(&memory[0]))&63 + 32 // ggml's tensors begin at multiples of 32
		at = memory[first:][:size+room]
		m.ends = append(m.ends, ending{x.String(), at[size:]})
	} else {
		at = guarded(m.t, size, m.guard)
	}
	for i := range at {
		at[i] = 0xFF
		if i >= size {
			at[i] = canary
		}
	}
	copy(at, data)
	// As a number, because the tensor is not of Go's memory; kept has the pointer.
	*(*uintptr)(unsafe.Pointer(&seen(x).data)) = uintptr(unsafe.Pointer(&at[0]))
	return x
}

// seen returns a tensor as operations see it.
func seen(x *ggml.Tensor) *tensor { return (*tensor)(unsafe.Pointer(x)) }

// leaf returns a tensor for an operand.
func (m *machine) leaf(typ ggml.Type, data []byte, ne ...int64) *ggml.Tensor {
	m.t.Helper()
	return m.place(m.leafs.New(typ, ne...), data)
}

// compute computes an operation.
func (m *machine) compute(op operation, x *ggml.Tensor) {
	m.t.Helper()
	m.place(x, nil)
	var wg sync.WaitGroup
	for i := range m.threads {
		wg.Go(func() { call(m.set, op, seen(x), i, m.threads) })
	}
	wg.Wait()
	for _, e := range m.ends {
		for i, b := range e.behind {
			if b != canary {
				m.t.Fatalf("%v, %d threads: wrote byte %d behind %s", m.set, m.threads, i, e.what)
			}
		}
	}
}

// quantise computes Quantise of x [in, tokens].
func (m *machine) quantise(x []float32, in int) *Activations {
	m.t.Helper()
	a := m.Quantise(m.graph, m.leaf(ggml.F32, bytesOf(x), int64(in), int64(len(x)/in)))
	m.compute(opQuantise, a.t)
	return a
}

// normQuantise computes NormQuantise of x [in, tokens].
func (m *machine) normQuantise(x, weight []float32, eps float32) *Activations {
	m.t.Helper()
	in := len(weight)
	a := m.NormQuantise(m.graph, m.leaf(ggml.F32, bytesOf(x), int64(in), int64(len(x)/in)), m.leaf(ggml.F32, bytesOf(weight), int64(in)), eps)
	m.compute(opNormQuantise, a.t)
	return a
}

// weigh places weights.
func (m *machine) weigh(w *matrix) *ggml.Tensor {
	m.t.Helper()
	return m.leaf(w.typ, w.packed, int64(w.in), int64(w.out))
}

// product computes Product, with a residual of [out] or [out, tokens] if there is one.
func (m *machine) product(w *matrix, a *Activations, residual []float32) []float32 {
	m.t.Helper()
	var rest *ggml.Tensor
	if residual != nil {
		rest = m.leaf(ggml.F32, bytesOf(residual), int64(w.out), int64(len(residual)/w.out))
	}
	y := m.Product(m.graph, m.weigh(w), a, rest)
	m.compute(opProduct, y)
	return slices.Clone(unsafe.Slice((*float32)(seen(y).data), y.Elements()))
}

// gateUp computes GateUp of all rows, with SiLU and no biases.
func (m *machine) gateUp(gate, up *matrix, a *Activations) *Activations {
	m.t.Helper()
	return m.gated(SiLU, gate, up, nil, nil, a)
}

// gated computes GateUp of all rows, with biases [rows] if there are any.
func (m *machine) gated(glu GLU, gate, up *matrix, gateBias, upBias []float32, a *Activations) *Activations {
	m.t.Helper()
	half := func(w *matrix, bias []float32) Half {
		h := Half{Weight: m.weigh(w)}
		if bias != nil {
			h.Bias = m.leaf(ggml.F32, bytesOf(bias), int64(len(bias)))
		}
		return h
	}
	out := m.GateUp(m.graph, glu, half(gate, gateBias), half(up, upBias), int64(gate.out), a)
	m.compute(opGateUp, out.t)
	return out
}

// of multiplies x by weights.
func (m *machine) of(w *matrix, x []float32) []float32 {
	m.t.Helper()
	return m.product(w, m.quantise(x, w.in), nil)
}

// quantisedToken is what activations hold of a token.
type quantisedToken struct {
	q      []int8
	d, sum []float32
	all    []int32
	low    []int32
}

// tokenOf returns what activations hold of a token.
func tokenOf(a *Activations, token int) (s quantisedToken) {
	in := activationsIn(seen(a.t), int32(a.in), int32(a.tokens))
	for i := range in.in / blockValues {
		b := in.block(token, i)
		s.q = append(s.q, b.codes()[:]...)
		s.d, s.sum = append(s.d, *b.scale()), append(s.sum, *b.sum())
		s.all, s.low = append(s.all, *b.all()), append(s.low, *b.low())
	}
	return s
}

// differs reports where two tokens differ.
func (s quantisedToken) differs(want quantisedToken) error {
	for i := range want.q {
		if s.q[i] != want.q[i] {
			return fmt.Errorf("value %d is %d, want %d", i, s.q[i], want.q[i])
		}
	}
	for i := range want.d {
		if !same(s.d[i], want.d[i]) || !same(s.sum[i], want.sum[i]) || s.all[i] != want.all[i] || s.low[i] != want.low[i] {
			return fmt.Errorf("block %d has scale %g, sums %d, %d, %g; want %g, %d, %d, %g",
				i, s.d[i], s.all[i], s.low[i], s.sum[i], want.d[i], want.all[i], want.low[i], want.sum[i])
		}
	}
	return nil
}

// sameTokens reports the first token of activations that differs.
func sameTokens(got, want *Activations) error {
	for token := range int(want.tokens) {
		if err := tokenOf(got, token).differs(tokenOf(want, token)); err != nil {
			return fmt.Errorf("token %d: %w", token, err)
		}
	}
	return nil
}

// same reports whether two numbers are the same bits, or both NaN.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

// sameBits reports the first number that differs; row is the number of a token's.
func sameBits(got, want []float32, row int) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d numbers, want %d", len(got), len(want))
	}
	for i := range want {
		if !same(got[i], want[i]) {
			return fmt.Errorf("row %d of token %d is %g (%#x), want %g (%#x)",
				i%row, i/row, got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
	return nil
}

func bytesOf[T any](s []T) []byte {
	var x T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(x)))
}
