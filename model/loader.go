package model

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
)

// Loader finds an architecture's metadata and weights in a file. Its methods do
// not return errors: the first faults are kept, and Load reports them together.
type Loader struct {
	file    *gguf.File
	devices Devices
	backend *ggml.Backend // of the weights that are asked for
	prefix  string        // of tensor names
	found   *found
}

// Devices says where a model computes.
type Devices struct {
	Input  *ggml.Backend   // looks the tokens up
	Layers []*ggml.Backend // by layer; those that are missing are Input's
	Output *ggml.Backend   // scores the next token
}

// all returns each device once.
func (d Devices) all() (backends []*ggml.Backend) {
	for _, b := range append([]*ggml.Backend{d.Input, d.Output}, d.Layers...) {
		if !slices.Contains(backends, b) {
			backends = append(backends, b)
		}
	}
	return backends
}

// found is what the loader and its blocks have gathered so far.
type found struct {
	errs    []error
	meta    *ggml.Context
	weights []weight
}

// weight is a tensor of the file and the one on a device.
type weight struct {
	source  gguf.Tensor
	tensor  *ggml.Tensor
	backend *ggml.Backend
	ops     []ggml.Op // what it is used for
}

// shared bounds the tensors that a device may need a copy of, because they
// serve layers of several: the embedding where it scores too, RoPE's factors.
const shared = 2

// NewLoader returns a loader for a model's weights on its devices. The file must
// stay open as long as the model.
func NewLoader(f *gguf.File, d Devices) *Loader {
	tensors := len(f.Tensors()) + 1 + shared*len(d.all())
	return &Loader{file: f, devices: d, backend: d.Input, found: &found{meta: ggml.NewContext(tensors)}}
}

// LayerCount returns how many layers a file says that its model has, and 0 if it
// does not, or is no model. It says whether the number makes sense no sooner
// than an architecture opens the file.
func LayerCount(f *gguf.File) int {
	n, ok := f.Uint(f.Architecture() + ".block_count")
	if !ok || n > uint64(len(f.Tensors())) {
		return 0
	}
	return int(n)
}

// maxFaults bounds the faults that are kept: the first ones say enough.
const maxFaults = 8

func (l *Loader) fault(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	known := slices.ContainsFunc(l.found.errs, func(e error) bool { return e.Error() == err.Error() })
	if !known && len(l.found.errs) < maxFaults {
		l.found.errs = append(l.found.errs, err)
	}
}

// Check notes a fault unless ok.
func (l *Loader) Check(ok bool, format string, args ...any) {
	if !ok {
		l.fault(format, args...)
	}
}

// Err returns what was missing or wrong so far.
func (l *Loader) Err() error {
	if len(l.found.errs) == 0 {
		return nil
	}
	return fmt.Errorf("model: %w", errors.Join(l.found.errs...))
}

// key returns the full name of an architecture's metadata.
func (l *Loader) key(name string) string { return l.file.Architecture() + "." + name }

// maxCount bounds the counts and sizes of a model: far above any, and far below
// where products of two overflow.
const maxCount = 1 << 24

// Int returns a count or size that must be there.
func (l *Loader) Int(name string) int {
	if _, ok := l.file.Value(l.key(name)); !ok {
		l.fault("metadata %s is missing", l.key(name))
		return 0
	}
	return l.IntOr(name, 0)
}

// Layers returns the number of layers. Each has tensors, so a number above that
// of all tensors is a fault.
func (l *Loader) Layers() int {
	n, tensors := l.Int("block_count"), len(l.file.Tensors())
	if n > tensors {
		l.fault("metadata %s is %d: the file has only %d tensors", l.key("block_count"), n, tensors)
	}
	return n
}

// IntOr returns a count or size, or what holds where the file says nothing.
func (l *Loader) IntOr(name string, otherwise int) int {
	v, there := l.file.Value(l.key(name))
	if !there {
		return otherwise
	}
	n, ok := l.file.Uint(l.key(name))
	if !ok || n == 0 || n > maxCount {
		l.fault("metadata %s is %v: want a whole number from 1 to %d", l.key(name), v, maxCount)
		return otherwise
	}
	return int(n)
}

// Float returns a number that must be there.
func (l *Loader) Float(name string) float32 {
	x, ok := l.file.Float(l.key(name))
	if !ok {
		l.fault("metadata %s is missing or not a number", l.key(name))
	}
	return float32(x)
}

// FloatOr returns a number, or what holds where the file says nothing.
func (l *Loader) FloatOr(name string, otherwise float64) float32 {
	if x, ok := l.file.Float(l.key(name)); ok {
		otherwise = x
	}
	return float32(otherwise)
}

// Config returns what every architecture's file says alike. The vocabulary is
// the size of the embedding table.
func (l *Loader) Config(hidden int) Config {
	c := Config{Architecture: l.file.Architecture(), Hidden: hidden, Context: l.IntOr("context_length", 2048)}
	c.Name, _ = l.file.String("general.name")
	if t, ok := l.file.Tensor("token_embd.weight"); ok && len(t.Shape) == 2 {
		c.Vocab = int(min(t.Shape[1], maxCount))
	} else {
		l.fault("tensor token_embd.weight is missing or not a matrix")
	}
	return c
}

// Block returns a loader for the weights of one layer, on that layer's device.
func (l *Loader) Block(i int) *Loader {
	b := *l
	b.prefix = "blk." + strconv.Itoa(i) + "."
	if i < len(l.devices.Layers) {
		b.backend = l.devices.Layers[i]
	}
	return &b
}

// Head returns a loader for the weights that score the next token, on the device
// that does.
func (l *Loader) Head() *Loader {
	h := *l
	h.backend = l.devices.Output
	return &h
}

// Linear returns the matrix name.weight [in, out], and name.bias if there is one.
func (l *Loader) Linear(name string, in, out int) Linear {
	w := Linear{Weight: l.tensor(name+".weight", []ggml.Op{ggml.OpMulMat}, in, out)}
	if _, ok := l.file.Tensor(l.prefix + name + ".bias"); ok {
		w.Bias = l.vector(name+".bias", out)
	}
	return w
}

// Output returns the matrix that scores tokens: its own, or the embedding where
// the file has none.
func (l *Loader) Output(name, tied string, in, out int) Linear {
	if _, ok := l.file.Tensor(name + ".weight"); ok {
		return l.Linear(name, in, out)
	}
	if _, ok := l.file.Tensor(tied + ".weight"); ok {
		return Linear{Weight: l.tensor(tied+".weight", []ggml.Op{ggml.OpMulMat}, in, out)}
	}
	l.fault("neither tensor %s.weight nor %s.weight is there", name, tied)
	return Linear{}
}

// Embedding returns the table name.weight [hidden, vocab].
func (l *Loader) Embedding(name string, hidden, vocab int) *ggml.Tensor {
	return l.tensor(name+".weight", []ggml.Op{ggml.OpGetRows}, hidden, vocab)
}

// RMSNorm returns the norm name.weight [dim].
func (l *Loader) RMSNorm(name string, dim int, eps float32) RMSNorm {
	if !(eps >= 0) || math.IsInf(float64(eps), 0) {
		l.fault("the epsilon of %s is %v: want a number that is not negative", l.prefix+name, eps)
	}
	return RMSNorm{Weight: l.vector(name+".weight", dim), Eps: eps}
}

// Rotary returns the rotary embedding that the file describes, with the factors
// of rope_freqs.weight where it has them: those of all layers, on the device of
// this one.
func (l *Loader) Rotary(mode, headDim int) Rotary {
	r := Rotary{RoPE: ggml.RoPE{
		Dims: l.IntOr("rope.dimension_count", headDim), Mode: mode, OrigContext: l.IntOr("context_length", 2048),
		Base: l.FloatOr("rope.freq_base", 10000), Scale: 1, Attn: 1, BetaFast: 32, BetaSlow: 1,
	}}
	if r.Dims%2 != 0 || r.Dims > headDim {
		l.fault("metadata %s is %d: want an even number up to the head dimension, %d", l.key("rope.dimension_count"), r.Dims, headDim)
	}
	if r.Base <= 0 || math.IsInf(float64(r.Base), 0) || math.IsNaN(float64(r.Base)) {
		l.fault("metadata %s is %v: want a positive number", l.key("rope.freq_base"), r.Base)
	}
	switch scaling, _ := l.file.String(l.key("rope.scaling.type")); scaling {
	case "", "none":
	case "linear":
		if f := l.FloatOr("rope.scaling.factor", 1); f > 0 {
			r.Scale = 1 / f
		}
	default:
		l.fault("metadata %s is %q: want none or linear", l.key("rope.scaling.type"), scaling)
	}
	if _, ok := l.file.Tensor("rope_freqs.weight"); ok {
		all := *l
		all.prefix = ""
		r.Factors = all.vector("rope_freqs.weight", r.Dims/2)
	}
	return r
}

// vector returns a tensor of one dimension, which must be f32.
func (l *Loader) vector(name string, n int) *ggml.Tensor {
	if t, ok := l.file.Tensor(l.prefix + name); ok && t.Type != gguf.F32 {
		l.fault("tensor %s is %v: want f32", l.prefix+name, t.Type)
		return nil
	}
	return l.tensor(name, nil, n)
}

// weightTypes are the types that matrices may have.
var weightTypes = []ggml.Type{
	ggml.F32, ggml.F16, ggml.BF16, ggml.Q4_0, ggml.Q4_1, ggml.Q5_0, ggml.Q5_1, ggml.Q8_0,
	ggml.Q2_K, ggml.Q3_K, ggml.Q4_K, ggml.Q5_K, ggml.Q6_K,
}

// tensor returns a weight of a shape that the file must have.
func (l *Loader) tensor(name string, ops []ggml.Op, shape ...int) *ggml.Tensor {
	source, ok := l.source(name, shape...)
	if !ok {
		return nil
	}
	return l.weight(source, ops)
}

// source finds a tensor of the file, which must have a shape.
func (l *Loader) source(name string, shape ...int) (source gguf.Tensor, ok bool) {
	name = l.prefix + name
	if source, ok = l.file.Tensor(name); !ok {
		l.fault("tensor %s is missing", name)
		return source, false
	}
	want := make([]int64, len(shape))
	for i, n := range shape {
		want[i] = int64(n)
	}
	got := source.Shape
	for len(got) > len(want) && got[len(got)-1] == 1 {
		got = got[:len(got)-1]
	}
	if !slices.Equal(got, want) {
		l.fault("tensor %s has the shape %v: want %v", name, source.Shape, want)
		return source, false
	}
	if !slices.Contains(weightTypes, ggml.Type(source.Type)) {
		var names []string
		for _, t := range weightTypes {
			names = append(names, t.String())
		}
		l.fault("tensor %s is of type %v: want one of %s", name, source.Type, strings.Join(names, ", "))
		return source, false
	}
	source.Shape = got
	return source, true
}

// weight returns the tensor on the device for one of the file.
func (l *Loader) weight(source gguf.Tensor, ops []ggml.Op) *ggml.Tensor {
	for i, w := range l.found.weights {
		if w.source.Name == source.Name && w.backend == l.backend {
			l.found.weights[i].ops = append(slices.Clone(w.ops), ops...)
			return w.tensor
		}
	}
	t := l.found.meta.New(ggml.Type(source.Type), source.Shape...)
	t.SetName(source.Name)
	l.found.weights = append(l.found.weights, weight{source: source, tensor: t, backend: l.backend, ops: ops})
	return t
}
