package families

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
)

// file is a model's file before it is written.
type file struct {
	meta    []gguf.KV
	tensors []gguf.TensorData
	weights map[ggml.Type][]byte // weights that all matrices of a type take theirs from
	err     error
}

// Write writes a model of the family into a folder, and returns the file's path. The same family gives
// the same bytes on machines on which ggml quantizes to the same.
func (f Family) Write(folder string) (path string, err error) {
	m := &file{meta: f.metadata(), weights: map[ggml.Type][]byte{}}
	embedding := ggml.Q4_K
	if f.Tied {
		embedding = ggml.Q6_K
	}
	if f.embedding != ggml.F32 {
		embedding = f.embedding
	}
	m.matrix("token_embd.weight", embedding, f.Hidden, f.vocab())
	f.add(m, f)
	m.norm("output_norm.weight", f.Hidden)
	if !f.Tied {
		m.matrix("output.weight", ggml.Q6_K, f.Hidden, f.vocab())
	}
	if m.err != nil {
		return "", m.err
	}
	path = filepath.Join(folder, strings.ReplaceAll(f.Name, ":", "-")+".gguf")
	out, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	err = gguf.Write(out, m.meta, m.tensors)
	if closing := out.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return "", fmt.Errorf("bench: %s: %w", path, err)
	}
	return path, nil
}

// key gives a metadata key of the architecture its value.
func (m *file) key(name string, value any) {
	architecture, _ := m.meta[0].Value.(string)
	pair := gguf.KV{Key: architecture + "." + name, Value: value}
	if i := slices.IndexFunc(m.meta, func(kv gguf.KV) bool { return kv.Key == pair.Key }); i >= 0 {
		m.meta[i] = pair
		return
	}
	m.meta = append(m.meta, pair)
}

// matrix adds a tensor of a quantized type, or of a similar one with smaller blocks where its rows are
// no multiple of the type's, as llama.cpp does.
func (m *file) matrix(name string, typ ggml.Type, shape ...int) {
	if shape[0]%int(typ.BlockSize()) != 0 {
		switch typ {
		case ggml.Q4_K, ggml.Q5_K:
			typ = ggml.Q5_0
		default:
			typ = ggml.Q8_0
		}
	}
	n := 1
	for _, d := range shape {
		n *= d
	}
	m.add(name, typ, shape, m.random(typ, n))
}

// norm adds a norm's weights, which are 1.
func (m *file) norm(name string, n int) {
	ones := make([]float32, n)
	for i := range ones {
		ones[i] = 1
	}
	m.vector(name, ones, n)
}

// normals adds a tensor of F32 with random numbers of a deviation.
func (m *file) normals(name string, deviation float64, shape ...int) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	m.vector(name, normals(uint64(len(m.tensors)), n, deviation), shape...)
}

// vector adds a tensor of F32.
func (m *file) vector(name string, values []float32, shape ...int) {
	m.add(name, ggml.F32, shape, m.quantize(ggml.F32, values))
}

func (m *file) add(name string, typ ggml.Type, shape []int, data []byte) {
	t := gguf.TensorData{Name: name, Type: gguf.Type(typ), Data: data}
	for _, d := range shape {
		t.Shape = append(t.Shape, int64(d))
	}
	m.tensors = append(m.tensors, t)
}

// deviation is that of all quantized weights. It keeps what goes through the layers finite, as the
// products are normed before the next one.
const deviation = 0.02

// pattern is how many blocks are quantized. They are repeated to fill matrices. As it is a prime number,
// no two rows of a matrix are the same.
const pattern = 4093

// random returns n random weights of a type. Tensors may share them.
func (m *file) random(typ ggml.Type, n int) []byte {
	block, bytes := int(typ.BlockSize()), int(typ.RowSize(typ.BlockSize()))
	if n%block != 0 {
		m.fail(fmt.Errorf("bench: %d weights of %v: want a multiple of %d", n, typ, block))
		return nil
	}
	size := n / block * bytes
	all := m.weights[typ]
	if len(all) == 0 {
		all = m.quantize(typ, normals(uint64(typ), pattern*block, deviation))
	}
	for len(all) > 0 && len(all) < size {
		all = append(all, all[:min(len(all), size-len(all)+pattern*bytes)/(pattern*bytes)*(pattern*bytes)]...)
	}
	m.weights[typ] = all
	if m.err != nil {
		return nil
	}
	return all[:size]
}

// quantize returns weights as a type.
func (m *file) quantize(typ ggml.Type, weights []float32) []byte {
	data, err := ggml.Quantize(typ, weights, int64(len(weights)))
	m.fail(err)
	return data
}

func (m *file) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// normals returns n normally distributed numbers.
func normals(seed uint64, n int, deviation float64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * deviation)
	}
	return x
}

// root returns the deviation of the weights of a row of n with which a product keeps the deviation of
// what it multiplies.
func root(n int) float64 { return 1 / math.Sqrt(float64(n)) }
