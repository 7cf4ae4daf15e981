package model

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/product"
)

// productSets are the instruction sets with which products are tested here: none, so that ggml
// multiplies, plain Go, and the best one if there is one.
func productSets(t *testing.T) []isa.ISA {
	t.Helper()
	sets := []isa.ISA{isa.GGML, isa.Go}
	if best := isa.Best.Resolved(); best > isa.Go && product.On(testmodel.CPU(t, 1).Device(), best).Any() {
		sets = append(sets, best)
	}
	return sets
}

// quantized returns a matrix [in, out] of a file.
func quantized(t *testing.T, name string, typ ggml.Type, in, out int64) gguf.TensorData {
	t.Helper()
	seed := 1
	for _, r := range name {
		seed = 31*seed + int(r)
	}
	values := make([]float32, in*out)
	for i := range values {
		values[i] = float32(math.Sin(float64(i*i%7919 + seed)))
	}
	data, err := ggml.Quantize(typ, values, in)
	if err != nil {
		t.Fatal(err)
	}
	return gguf.TensorData{Name: name, Type: gguf.Type(typ), Shape: []int64{in, out}, Data: data}
}

// vector returns a vector of a file.
func vector(name string, n int64) gguf.TensorData {
	v := gguf.TensorData{Name: name, Type: gguf.F32, Shape: []int64{n}}
	for i := range n {
		v.Data = binary.LittleEndian.AppendUint32(v.Data, math.Float32bits(float32(math.Cos(float64(i)))))
	}
	return v
}

// openTensors writes tensors to a file and opens it until the test ends.
func openTensors(t *testing.T, tensors ...gguf.TensorData) *gguf.File {
	t.Helper()
	var file bytes.Buffer
	if err := gguf.Write(&file, []gguf.KV{{Key: "general.architecture", Value: "test"}}, tensors); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "weights.gguf")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// loaded loads what ask asks for, until the test ends.
func loadAll(t *testing.T, f *gguf.File, d Devices, ask func(*Loader)) *Weights {
	t.Helper()
	l := NewLoader(f, d)
	ask(l)
	w, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// evaluate computes what build makes of x [in, tokens], which is the same numbers each time.
func evaluate(t *testing.T, b *ggml.Backend, in, tokens int64, build func(*ggml.Graph, *ggml.Tensor) []*ggml.Tensor) (results [][]float32) {
	t.Helper()
	meta := ggml.NewContext(1)
	defer meta.Close()
	x := meta.New(ggml.F32, in, tokens)
	memory, err := b.Alloc(b.BufferType(), b.BufferType().AllocSize(x), ggml.Activations)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	memory.Place(x, 0)
	input := make([]float32, in*tokens)
	for i := range input {
		input[i] = float32(math.Cos(float64(i)))
	}
	ggml.SetSlice(x, input, 0)
	g, scratch := b.NewGraph(64), b.NewScratch()
	defer scratch.Close()
	defer g.Close()
	var outs []*ggml.Tensor
	for _, y := range build(g, x) {
		out := g.Cont(y)
		g.Expand(out)
		g.Output(out)
		outs = append(outs, out)
	}
	if _, err := scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	if err := b.Compute(g); err != nil {
		t.Fatal(err)
	}
	for _, out := range outs {
		values := make([]float32, out.Elements())
		ggml.GetSlice(out, values, 0)
		results = append(results, values)
	}
	return results
}

// far returns how far values are from others, in units of their root mean square.
func far(got, want []float32) float64 {
	var diff, sum float64
	for i := range want {
		d := float64(got[i] - want[i])
		diff, sum = diff+d*d, sum+float64(want[i])*float64(want[i])
	}
	return math.Sqrt(diff / sum)
}

// packedError bounds the difference between results of ebb's products and of ggml's. Both round the
// input of each product to 8 bits, and of the sums here most cancels out.
const packedError = 0.05

func TestMatricesOfOneTypeArePackedAsOneWhereverTheyLie(t *testing.T) {
	const in, tokens = 256, 3
	matrices := []Matrix{{"q", 96}, {"k", 32}, {"v", 64}}
	for _, test := range []struct {
		why     string
		tensors []gguf.TensorData
		want    int // products
	}{
		{"apart, in another order", []gguf.TensorData{
			quantized(t, "v.weight", ggml.Q4_0, in, 64), vector("x", 8), quantized(t, "q.weight", ggml.Q4_0, in, 96), vector("y", 8), quantized(t, "k.weight", ggml.Q4_0, in, 32),
		}, 1},
		{"with biases", []gguf.TensorData{
			quantized(t, "q.weight", ggml.Q4_K, in, 96), vector("q.bias", 96), quantized(t, "k.weight", ggml.Q4_K, in, 32), vector("k.bias", 32),
			vector("v.bias", 64), quantized(t, "v.weight", ggml.Q4_K, in, 64),
		}, 1},
		{"one with a bias", []gguf.TensorData{
			quantized(t, "q.weight", ggml.Q8_0, in, 96), quantized(t, "k.weight", ggml.Q8_0, in, 32), vector("k.bias", 32), quantized(t, "v.weight", ggml.Q8_0, in, 64),
		}, 2},
		{"two types", []gguf.TensorData{
			quantized(t, "q.weight", ggml.Q4_K, in, 96), quantized(t, "v.weight", ggml.Q6_K, in, 64), quantized(t, "k.weight", ggml.Q4_K, in, 32),
		}, 2},
		{"one of a type that is not packed", []gguf.TensorData{
			quantized(t, "q.weight", ggml.Q4_K, in, 96), quantized(t, "v.weight", ggml.IQ2_XXS, in, 64), quantized(t, "k.weight", ggml.Q4_K, in, 32),
		}, 2},
	} {
		f := openTensors(t, test.tensors...)
		load := func(set isa.ISA, stack bool) [][]float32 {
			b := testmodel.CPU(t, 2)
			var s Stack
			loadAll(t, f, Devices{Input: b, Output: b, Products: product.On(b.Device(), set)}, func(l *Loader) {
				for _, tensor := range f.Tensors() {
					l.found.tensors[tensor.Name] = true // those between the matrices too
				}
				if stack {
					s = l.Stack(in, matrices...)
					return
				}
				for i, m := range matrices {
					s.products = append(s.products, l.Linear(m.Name, in, m.Out))
					s.results = append(s.results, result{i, 0, m.Out})
				}
			})
			if stack && set > isa.GGML && len(s.products) != test.want {
				t.Errorf("%s: %d products, want %d", test.why, len(s.products), test.want)
			}
			return evaluate(t, b, in, tokens, s.Forward)
		}
		reference := load(isa.GGML, false)
		for _, set := range productSets(t)[1:] {
			one, all := load(set, false), load(set, true)
			for i, m := range matrices {
				if !slices.Equal(all[i], one[i]) {
					t.Errorf("%s, %v: matrix %s has other bits in a stack than alone", test.why, set, m.Name)
				}
				if d := far(one[i], reference[i]); !(d <= packedError) {
					t.Errorf("%s, %v: matrix %s is %.2g off ggml's product, want at most %g", test.why, set, m.Name, d, packedError)
				}
			}
		}
	}
}

func TestAPackedFeedForwardComputesGateAndUpAsOneOperation(t *testing.T) {
	const hidden, ff, tokens = 64, 256, 5
	apart := openTensors(t, quantized(t, "ffn_gate.weight", ggml.Q4_1, hidden, ff), quantized(t, "ffn_down.weight", ggml.Q6_K, ff, hidden), quantized(t, "ffn_up.weight", ggml.Q4_1, hidden, ff))
	types := openTensors(t, quantized(t, "ffn_gate.weight", ggml.Q4_1, hidden, ff), quantized(t, "ffn_down.weight", ggml.Q6_K, ff, hidden), quantized(t, "ffn_up.weight", ggml.Q8_0, hidden, ff))
	biased := openTensors(t, quantized(t, "ffn_gate.weight", ggml.Q4_1, hidden, ff), quantized(t, "ffn_down.weight", ggml.Q6_K, ff, hidden), quantized(t, "ffn_up.weight", ggml.Q4_1, hidden, ff), vector("ffn_up.bias", ff))
	bothBiased := openTensors(t, quantized(t, "ffn_gate.weight", ggml.Q4_1, hidden, ff), quantized(t, "ffn_down.weight", ggml.Q6_K, ff, hidden), quantized(t, "ffn_up.weight", ggml.Q4_1, hidden, ff), vector("ffn_up.bias", ff), vector("ffn_gate.bias", ff))
	plain := openTensors(t, quantized(t, "ffn_gate.weight", ggml.Q4_1, hidden, ff), quantized(t, "ffn_down.weight", ggml.F16, ff, hidden), quantized(t, "ffn_up.weight", ggml.Q4_1, hidden, ff))
	for _, test := range []struct {
		why   string
		file  *gguf.File
		fused bool
	}{{"apart", apart, true}, {"of two types", types, true}, {"one of both has a bias", biased, false}, {"both have biases", bothBiased, true}, {"down is not packed", plain, false}} {
		compute := func(set isa.ISA) []float32 { // results of all units, one behind the other
			b := testmodel.CPU(t, 2)
			var f SwiGLU
			loadAll(t, test.file, Devices{Input: b, Output: b, Products: product.On(b.Device(), set)}, func(l *Loader) { f = l.SwiGLU("", hidden, ff) })
			return slices.Concat(evaluate(t, b, hidden, tokens, func(g *ggml.Graph, x *ggml.Tensor) (all []*ggml.Tensor) {
				if fused := f.fuses(); fused != (test.fused && set > isa.GGML) {
					t.Errorf("%s, %v: gate and up are one operation: %v", test.why, set, fused)
				}
				for _, glu := range []product.GLU{SiLU, GELU, ClampedSiLU} {
					all = append(all, f.gated(g, glu, &input{x: x}, nil))
				}
				return all
			})...)
		}
		reference := compute(isa.GGML)
		for _, set := range productSets(t)[1:] {
			if d := far(compute(set), reference); !(d <= packedError) {
				t.Errorf("%s, %v: %.2g off ggml's result, want at most %g", test.why, set, d, packedError)
			}
		}
	}
}

// TestNormsAndResidualsArePartOfPackedProducts computes what a layer has beside attention.
func TestNormsAndResidualsArePartOfPackedProducts(t *testing.T) {
	const hidden, ff, tokens = 64, 128, 3
	for _, test := range []struct {
		why        string
		value      ggml.Type // of the matrix of values
		biases     bool
		operations int
	}{
		// The norm, and the products of queries, keys and values; quantising for the output of
		// attention, and its product with the residual; norm, gate and up, and down with the residual.
		{"one type", ggml.Q4_0, false, 2 + 2 + 3},
		{"two types", ggml.Q8_0, false, 3 + 2 + 3},
		{"biases", ggml.Q4_0, true, 2 + 3 + 3}, // that of the output is an operation beside the residual
		{"values are not packed", ggml.F16, false, 5 + 2 + 3},
	} {
		tensors := []gguf.TensorData{
			vector("attn_norm.weight", hidden), vector("ffn_norm.weight", hidden),
			quantized(t, "attn_q.weight", ggml.Q4_0, hidden, hidden), quantized(t, "attn_output.weight", ggml.Q4_1, hidden, hidden),
			quantized(t, "attn_k.weight", ggml.Q4_0, hidden, hidden), quantized(t, "attn_v.weight", test.value, hidden, hidden),
			quantized(t, "ffn_gate.weight", ggml.Q4_0, hidden, ff), quantized(t, "ffn_up.weight", ggml.Q4_0, hidden, ff), quantized(t, "ffn_down.weight", ggml.Q4_0, ff, hidden),
		}
		if test.biases {
			for _, name := range []string{"attn_q", "attn_k", "attn_v", "attn_output"} {
				tensors = append(tensors, vector(name+".bias", hidden))
			}
		}
		f := openTensors(t, tensors...)
		compute := func(set isa.ISA) []float32 {
			b := testmodel.CPU(t, 2)
			var (
				attentionNorm, feedForwardNorm RMSNorm
				queryKeyValue                  QueryKeyValue
				out                            Linear
				feedForward                    SwiGLU
			)
			loadAll(t, f, Devices{Input: b, Output: b, Products: product.On(b.Device(), set)}, func(l *Loader) {
				attentionNorm, feedForwardNorm = l.RMSNorm("attn_norm", hidden, 1e-5), l.RMSNorm("ffn_norm", hidden, 1e-5)
				queryKeyValue = l.QueryKeyValue(hidden, Layer{Heads: 1, KVHeads: 1, KeyDim: hidden, ValueDim: hidden})
				out, feedForward = l.Linear("attn_output", hidden, hidden), l.SwiGLU("", hidden, ff)
			})
			return evaluate(t, b, hidden, tokens, func(g *ggml.Graph, x *ggml.Tensor) []*ggml.Tensor {
				q, k, v := queryKeyValue.ForwardNormed(g, attentionNorm, x)
				flat := func(t *ggml.Tensor) *ggml.Tensor { return g.Reshape2D(g.Cont(t), hidden, tokens) }
				attended := g.Add(g.SwiGLU(flat(q), flat(k)), flat(v))
				y := AddNormed(g, feedForward, feedForwardNorm, out.ForwardAdd(g, attended, x))
				g.Expand(y)
				const between = 3*4 + 2 // views of rows and heads, copies and their shapes, and what stands for attention
				if got := g.Nodes() - between; set > isa.GGML && got != test.operations {
					t.Errorf("%s, %v: %d operations, want %d", test.why, set, got, test.operations)
				}
				return []*ggml.Tensor{y}
			})[0]
		}
		reference := compute(isa.GGML)
		for _, set := range productSets(t)[1:] {
			if d := far(compute(set), reference); !(d <= packedError) {
				t.Errorf("%s, %v: %.2g off ggml's result, want at most %g", test.why, set, d, packedError)
			}
		}
	}
}

func TestWeightsStayMappedWhereThatIsWantedOrMemoryHasNoRoomForCopies(t *testing.T) {
	const in, out = 256, 4096
	f := openTensors(t, quantized(t, "a.weight", ggml.Q4_0, in, out), quantized(t, "b.weight", ggml.Q8_0, in, out))
	a, _ := f.Tensor("a.weight")
	b, _ := f.Tensor("b.weight")
	all := a.Size + b.Size
	ask := func(l *Loader) { l.Linear("a", in, out); l.Linear("b", in, out) }
	for _, set := range productSets(t) {
		cpu := testmodel.CPU(t, 2)
		d := Devices{Input: cpu, Output: cpu, Products: product.On(cpu.Device(), set), Mapped: true, Room: 1}
		w := loadAll(t, f, d, ask)
		if u := cpu.Usage(); len(w.inPlace) != 2 || u.Mapped != all || u.Current[ggml.Weights] != all {
			t.Errorf("%v: %d of 2 weights are mapped, %d bytes of %d; want all", set, len(w.inPlace), u.Mapped, all)
		}
		if set == isa.GGML {
			continue // whether ggml copies them depends on the processor
		}
		d.Mapped, d.Room = false, all-1
		l := NewLoader(f, d)
		ask(l)
		_, err := l.Load()
		short, ok := errors.AsType[*RoomError](err)
		if !ok || short.Copies != all || short.Room != all-1 {
			t.Errorf("%v: got %v, want an error that names %d bytes, of which %d are free", set, err, all, all-1)
		}
		d.Room = all
		loadAll(t, f, d, ask)
		limited, err := cpu.Device().Open(ggml.Options{Threads: 1, Limit: all - 1})
		if err != nil {
			t.Fatal(err)
		}
		d.Input, d.Output = limited, limited
		l = NewLoader(f, d)
		ask(l)
		_, err = l.Load()
		if short, ok := errors.AsType[*RoomError](err); !ok || short.Copies != all || !errors.Is(err, ggml.ErrNoMemory) {
			t.Errorf("%v: got %v, want an error that names the copies and the memory that was refused", set, err)
		}
		if err := limited.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLoadingSaysHowFarItIs(t *testing.T) {
	const in, out = 256, 40960 // more than a piece
	f := openTensors(t, quantized(t, "a.weight", ggml.Q8_0, in, out), quantized(t, "b.weight", ggml.F16, in, 64), vector("c.weight", 32))
	for _, set := range productSets(t) {
		b := testmodel.CPU(t, 2)
		last, calls, want := int64(0), 0, int64(0)
		for _, tensor := range f.Tensors() {
			want += tensor.Size
		}
		loadAll(t, f, Devices{Input: b, Output: b, Products: product.On(b.Device(), set)}, func(l *Loader) {
			l.Linear("a", in, out)
			l.Linear("b", in, 64)
			l.Vector("c.weight", 32)
			l.WithProgress(func(done, total int64) {
				if done <= last || total != want {
					t.Errorf("%v: %d bytes of %d after %d; want more, of %d", set, done, total, last, want)
				}
				last, calls = done, calls+1
			})
		})
		if last != want || calls < 3 {
			t.Errorf("%v: %d bytes of %d in %d calls", set, last, want, calls)
		}
	}
}

// Machines with many cores do not pack on all of them, and few stripes need few goroutines.
func TestPackersAreBounded(t *testing.T) {
	for _, tt := range []struct{ cores, stripes, want int }{{2, 1000, 4}, {1, 1000, 3}, {128, 1000, 16}, {128, 5, 5}, {2, 1, 1}, {2, 0, 0}} {
		if got := packers(tt.cores, tt.stripes); got != tt.want {
			t.Errorf("%d cores pack %d stripes by %d goroutines, want %d", tt.cores, tt.stripes, got, tt.want)
		}
	}
}
