package product

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/isa"
)

// mixture is a mixture of experts with random weights, and tokens for it. A matrix has the rows of all
// experts, one expert's behind the other's.
type mixture struct {
	typ                   ggml.Type
	hidden, ff            int
	experts, used, tokens int
	gate, up, down        *matrix
	glu                   GLU
	bias                  []float32 // [2 × ff, experts]: the gate's, and then that of up
	biased                bool      // ExpertGateUp has biases
	x                     []float32 // [hidden, tokens]
	ids                   []int32   // [used, tokens]
	shares                []float32 // [used, tokens]
}

func (m *mixture) String() string {
	return fmt.Sprintf("%v, %d and %d values, %d of %d experts, %d tokens", m.typ, m.hidden, m.ff, m.used, m.experts, m.tokens)
}

// newMixture returns a mixture. Some experts are chosen by most tokens, and some by few or none.
func newMixture(t testing.TB, typ ggml.Type, hidden, ff, experts, used, tokens int) *mixture {
	t.Helper()
	rng := seeded(int(typ), hidden, ff, experts, used, tokens)
	m := &mixture{
		typ: typ, hidden: hidden, ff: ff, experts: experts, used: used, tokens: tokens,
		gate: newMatrix(t, rng, typ, hidden, ff*experts), up: newMatrix(t, rng, typ, hidden, ff*experts),
		down: newMatrix(t, rng, typ, ff, hidden*experts), bias: normal(rng, 2*ff*experts),
		glu: GLU((int(typ) + tokens) % int(glus)), biased: tokens%2 == 1,
		x: normal(rng, hidden*tokens), shares: normal(rng, used*tokens),
	}
	for range tokens {
		chosen := rng.Perm(experts)
		slices.SortStableFunc(chosen, func(a, b int) int { return a%3 - b%3 })
		for _, e := range chosen[:used] {
			m.ids = append(m.ids, int32(e))
		}
	}
	return m
}

// positions returns where each pair's results lie: in the order of experts, and then of pairs.
func (m *mixture) positions() []int {
	order := make([]int, len(m.ids))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(m.ids[a]) - int(m.ids[b]) })
	at := make([]int, len(order))
	for i, pair := range order {
		at[pair] = i
	}
	return at
}

// of returns the matrix of an expert.
func (m *mixture) of(w *matrix, e int) *matrix {
	out, size := w.out/m.experts, len(w.packed)/m.experts
	return &matrix{w.typ, w.in, out, w.file[e*size:][:size], w.packed[e*size:][:size]}
}

// place places the matrices of all experts.
func (m *mixture) place(on *machine, w *matrix) *ggml.Tensor {
	return on.leaf(w.typ, w.packed, int64(w.in), int64(w.out/m.experts), int64(m.experts))
}

// group computes Group of activations.
func (m *mixture) group(on *machine, a *Activations) *Grouped {
	ids := on.leaf(ggml.I32, bytesOf(m.ids), int64(m.used), int64(m.tokens))
	x := on.Group(on.graph, a, ids, int64(m.experts))
	on.compute(opGroup, x.table)
	return x
}

// product computes ExpertProduct.
func (m *mixture) product(on *machine, w *matrix, bias []float32, x *Grouped) *ggml.Tensor {
	var b *ggml.Tensor
	if bias != nil {
		b = on.leaf(ggml.F32, bytesOf(bias), int64(w.out/m.experts), int64(m.experts))
	}
	y := on.ExpertProduct(on.graph, m.place(on, w), b, x)
	on.compute(opExpertProduct, y)
	return y
}

// gateUp computes ExpertGateUp.
func (m *mixture) gateUp(on *machine, x *Grouped) *Grouped {
	gate, up := Half{Weight: m.place(on, m.gate)}, Half{Weight: m.place(on, m.up)}
	if m.biased {
		ff, experts := int64(m.ff), int64(m.experts)
		both := on.leaf(ggml.F32, bytesOf(m.bias), 2*ff, experts)
		gate.Bias, up.Bias = on.graph.View2D(both, ff, experts, both.Nb(1), 0), on.graph.View2D(both, ff, experts, both.Nb(1), 4*ff)
	}
	y := on.ExpertGateUp(on.graph, m.glu, gate, up, int64(m.ff), x)
	on.compute(opExpertGateUp, y.a.t)
	return y
}

// quantise computes QuantiseGrouped.
func (m *mixture) quantise(on *machine, y *ggml.Tensor, x *Grouped) *Grouped {
	z := on.QuantiseGrouped(on.graph, y, x)
	on.compute(opQuantiseGrouped, z.a.t)
	return z
}

// mix computes Mix.
func (m *mixture) mix(on *machine, y *ggml.Tensor, x *Grouped) []float32 {
	z := on.Mix(on.graph, y, on.leaf(ggml.F32, bytesOf(m.shares), int64(m.used*m.tokens)), x)
	on.compute(opMix, z)
	return numbersOf(z)
}

func numbersOf(t *ggml.Tensor) []float32 {
	return slices.Clone(unsafe.Slice((*float32)(seen(t).data), t.Elements()))
}

// results are what the operations of a mixture give, in the order of experts.
type results struct{ up, biased, down, unfused, mixed []float32 }

// compute computes all operations of a mixture.
func (m *mixture) compute(on *machine) (r results) {
	x := m.group(on, on.quantise(m.x, m.hidden))
	up := m.product(on, m.up, nil, x)
	r.up = numbersOf(up)
	r.biased = numbersOf(m.product(on, m.gate, m.bias[:m.ff*m.experts], x))
	down := m.product(on, m.down, nil, m.gateUp(on, x))
	r.down = numbersOf(down)
	r.unfused = numbersOf(m.product(on, m.down, nil, m.quantise(on, up, x)))
	r.mixed = m.mix(on, down, x)
	return r
}

// alone computes the pairs of each expert with the operations that know of no experts, and orders the
// results as compute does.
func (m *mixture) alone(rig *rig, set isa.ISA) (r results) {
	at := m.positions()
	r.mixed = make([]float32, m.hidden*m.tokens)
	for e := range m.experts {
		var x []float32
		for pair, id := range m.ids {
			if int(id) == e {
				x = append(x, m.x[pair/m.used*m.hidden:][:m.hidden]...)
			}
		}
		if x == nil {
			continue
		}
		on := rig.machine(set, 2)
		gate, up, down := m.of(m.gate, e), m.of(m.up, e), m.of(m.down, e)
		a := on.quantise(x, m.hidden)
		y := on.product(up, a, nil)
		r.up = append(r.up, y...)
		r.biased = append(r.biased, on.product(gate, a, m.bias[e*m.ff:][:m.ff])...)
		var gateBias, upBias []float32
		if m.biased {
			both := m.bias[2*e*m.ff:][:2*m.ff]
			gateBias, upBias = both[:m.ff], both[m.ff:]
		}
		r.down = append(r.down, on.product(down, on.gated(m.glu, gate, up, gateBias, upBias, a), nil)...)
		r.unfused = append(r.unfused, on.of(down, y)...)
	}
	for i := range r.mixed {
		for u := range m.used {
			pair := i/m.hidden*m.used + u
			v := float32(r.down[at[pair]*m.hidden+i%m.hidden] * m.shares[pair])
			if u > 0 {
				v = r.mixed[i] + v
			}
			r.mixed[i] = v
		}
	}
	return r
}

// differs reports where results differ.
func (m *mixture) differs(got, want results) error {
	for _, r := range []struct {
		name      string
		got, want []float32
		row       int
	}{
		{"ExpertProduct", got.up, want.up, m.ff},
		{"with a bias", got.biased, want.biased, m.ff},
		{"ExpertGateUp", got.down, want.down, m.hidden},
		{"QuantiseGrouped", got.unfused, want.unfused, m.hidden},
		{"Mix", got.mixed, want.mixed, m.hidden},
	} {
		if err := sameBits(r.got, r.want, r.row); err != nil {
			return fmt.Errorf("%v: %s: %w", m, r.name, err)
		}
	}
	return nil
}

// A pair's results are the bits of its expert alone, and a token's result is the sum of them in the
// order of its experts.
func TestAPairsResultIsThatOfItsExpertAlone(t *testing.T) {
	var all []*mixture
	for i, typ := range types {
		all = append(all, newMixture(t, typ, 256, 256, 4, 2, []int{19, 9, 23}[i%3]))
	}
	for _, tokens := range []int{1, 2, 4, 7, 40} {
		all = append(all, newMixture(t, ggml.Q4_0, 64, 96, 7, 3, tokens), newMixture(t, ggml.Q8_0, 96, 32, 9, 1, tokens))
	}
	for _, m := range all {
		r := newRig(t, 1)
		want := m.alone(r, isa.Go)
		eachISA(t, func(t *testing.T, set isa.ISA) {
			for _, threads := range []int{1, 2, ggml.MostThreads() + 3} {
				if err := m.differs(m.compute(r.machine(set, threads)), want); err != nil {
					t.Errorf("%d threads: %v", threads, err)
				}
			}
		})
	}
}

// Groups of more tokens than a pass, and rows of several parts.
func TestLargeGroups(t *testing.T) {
	r := newRig(t, 1)
	for _, m := range []*mixture{
		newMixture(t, ggml.Q4_K, 256, 256, 2, 1, 530), newMixture(t, ggml.Q6_K, 2304, 2304, 2, 1, 19),
	} {
		if len(vectorISAs()) == 0 {
			t.Skip("cpu: no machine code here")
		}
		var want results
		for i, set := range vectorISAs() {
			got := m.compute(r.machine(set, 2))
			if i == 0 {
				want = got
				alone := m.of(m.up, int(m.ids[0]))
				y := r.machine(set, 1).of(alone, m.x[:m.hidden])
				if err := sameBits(got.up[m.positions()[0]*m.ff:][:m.ff], y, m.ff); err != nil {
					t.Errorf("%v: %v: %v", set, m, err)
				}
			} else if err := m.differs(got, want); err != nil {
				t.Errorf("%v: %v", set, err)
			}
		}
		if testAll {
			if err := m.differs(want, m.compute(r.machine(isa.Go, 2))); err != nil {
				t.Error(err)
			}
		}
	}
}

// Activations of pairs, and not of tokens, are grouped as those are.
func TestGroupTakesActivationsOfPairs(t *testing.T) {
	r := newRig(t, 1)
	m := newMixture(t, ggml.Q4_0, 64, 64, 5, 2, 23)
	var x []float32
	for pair := range m.ids {
		x = append(x, m.x[pair/m.used*m.hidden:][:m.hidden]...)
	}
	eachISA(t, func(t *testing.T, set isa.ISA) {
		on := r.machine(set, 2)
		want := numbersOf(m.product(on, m.up, nil, m.group(on, on.quantise(m.x, m.hidden))))
		got := numbersOf(m.product(on, m.up, nil, m.group(on, on.quantise(x, m.hidden))))
		if err := sameBits(got, want, m.ff); err != nil {
			t.Error(err)
		}
	})
}

// A token one of whose ids is no expert is NaN, and the others are not concerned.
func TestIDsOutsideTheExpertsMakeTheirTokensNaN(t *testing.T) {
	r := newRig(t, 1)
	m := newMixture(t, ggml.Q4_0, 64, 64, 3, 2, 9)
	eachISA(t, func(t *testing.T, set isa.ISA) {
		want := m.compute(r.machine(set, 1)).mixed
		broken := *m
		broken.ids = slices.Clone(m.ids)
		outside := map[int]int32{0: 3, 5: -1, 7: math.MaxInt32, 12: math.MinInt32}
		for pair, id := range outside {
			broken.ids[pair] = id
		}
		got := broken.compute(r.machine(set, 2)).mixed
		for i := range got {
			_, first := outside[i/m.hidden*m.used]
			_, second := outside[i/m.hidden*m.used+1]
			if first || second {
				want[i] = float32(math.NaN())
			}
		}
		if err := sameBits(got, want, m.hidden); err != nil {
			t.Error(err)
		}
		for i := range broken.ids {
			broken.ids[i] = -1
		}
		for i, v := range broken.compute(r.machine(set, 2)).mixed {
			if v == v {
				t.Fatalf("without any expert, value %d is %g, want NaN", i, v)
			}
		}
	})
}

// Nothing beside an operation's tensors is read or written.
func TestOperationsOfMixturesStayInTheirTensors(t *testing.T) {
	r := newRig(t, 1)
	eachISA(t, func(t *testing.T, set isa.ISA) {
		for _, where := range []guard{guardBehind, guardBefore} {
			for i, tokens := range []int{1, 2, 5, 18, 33} {
				m := newMixture(t, types[(i+int(where))%len(types)], 256, 256, 4, 1+i%2, tokens)
				want := m.compute(r.machine(set, 1))
				on := r.machine(set, 2)
				on.guard = where
				if err := m.differs(m.compute(on), want); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
