package model

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

const stackIn = 32

var stackMatrices = []Matrix{{"a", 8}, {"b", 16}, {"c", 24}}

// stackFile has the tensors of some names, in that order, with other numbers each.
func stackFile(t *testing.T, names ...string) *gguf.File {
	t.Helper()
	var tensors []gguf.TensorData
	for seed, name := range names {
		shape := []int64{stackIn, 8}
		for _, m := range stackMatrices {
			switch name {
			case m.Name + ".weight":
				shape = []int64{stackIn, int64(m.Out)}
			case m.Name + ".bias":
				shape = []int64{int64(m.Out)}
			}
		}
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		var data []byte
		for i := range n {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(math.Sin(float64(i)+1000*float64(seed)))))
		}
		tensors = append(tensors, gguf.TensorData{Name: name, Type: gguf.F32, Shape: shape, Data: data})
	}
	return openTensors(t, tensors...)
}

// stackResults multiplies by each of the matrices of a file, as a stack or one by one, and returns
// how many products that took.
func stackResults(t *testing.T, b *ggml.Backend, f *gguf.File, stack bool) (products int, results [][]float32) {
	t.Helper()
	var s Stack
	loadAll(t, f, Devices{Input: b, Output: b}, func(l *Loader) {
		for _, tensor := range f.Tensors() {
			l.found.tensors[tensor.Name] = true // those between the matrices too
		}
		if stack {
			s = l.Stack(stackIn, stackMatrices...)
			return
		}
		for i, m := range stackMatrices {
			s.products = append(s.products, l.Linear(m.Name, stackIn, m.Out))
			s.results = append(s.results, result{i, 0, m.Out})
		}
	})
	return len(s.products), evaluate(t, b, stackIn, 3, s.Forward)
}

func TestMatricesBehindEachOtherAreMultipliedAsOneWithTheSameBits(t *testing.T) {
	b := testmodel.CPU(t, 2)
	for _, test := range []struct {
		why   string
		names []string
		want  int // products
	}{
		{"in order", []string{"a.weight", "b.weight", "c.weight"}, 1},
		{"another order", []string{"c.weight", "a.weight", "b.weight"}, 1},
		{"one apart", []string{"b.weight", "other.weight", "c.weight", "a.weight"}, 2},
		{"all apart", []string{"a.weight", "x.weight", "b.weight", "y.weight", "c.weight"}, 3},
		{"a bias", []string{"a.weight", "b.weight", "c.weight", "b.bias"}, 3},
	} {
		f := stackFile(t, test.names...)
		n, got := stackResults(t, b, f, true)
		if n != test.want {
			t.Errorf("%s: %d products, want %d", test.why, n, test.want)
		}
		_, want := stackResults(t, b, f, false)
		for i, m := range stackMatrices {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("%s: matrix %s gives %v, want %v", test.why, m.Name, got[i], want[i])
			}
		}
	}
}

func TestAStackThatLacksAMatrixIsAnErrorThatNamesIt(t *testing.T) {
	b := testmodel.CPU(t, 2)
	l := NewLoader(stackFile(t, "a.weight", "c.weight"), Devices{Input: b, Output: b})
	l.Stack(stackIn, stackMatrices...)
	w, err := l.Load()
	if want := "model: tensor b.weight is missing"; err == nil || err.Error() != want {
		t.Errorf("got %v and the error %v, want %q", w, err, want)
	}
}
