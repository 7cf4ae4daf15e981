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
	"github.com/seed4d217819/ebb/product"
)

// Loader finds an architecture's metadata and weights in a file. Its methods do not return errors:
// the first faults are kept, and Load reports them together.
type Loader struct {
	file      *gguf.File
	devices   Devices
	backend   *ggml.Backend // of the weights that are asked for
	elsewhere *ggml.Backend // of the weights of experts; nil: the same
	prefix    string        // of tensor names
	found     *found
}

// found is shared by the loaders of all blocks: what they have read and the faults they met.
type found struct {
	errs    []error
	meta    *ggml.Context
	weights []weight
	keys    map[string]bool // that were asked for
	tensors map[string]bool // that were found
	spare   map[string]bool // tensors that the model need not have, and does without

	drafting bool // the block that drafts tokens is loaded, too
	progress func(done, total int64)
}

// shared bounds the tensors that a device may need a copy of, because they serve layers of several:
// the embedding, RoPE's factors, of which there may be two lists, and the table and the norm of
// embeddings for each layer.
const shared = 5

// defaultContext is the context that a model was made for where its file does not say.
const defaultContext = 2048

// NewLoader returns a loader for a model's weights on its devices. The file must stay open as long
// as the model.
func NewLoader(f *gguf.File, d Devices) *Loader {
	tensors := 2*len(f.Tensors()) + 1 + shared*len(d.all()) // a layer has its part of one that all share, too
	l := &Loader{file: f, devices: d, backend: d.Input, found: &found{
		meta: ggml.NewContext(tensors), keys: map[string]bool{}, tensors: map[string]bool{}, spare: map[string]bool{},
	}}
	if kind, err := f.String("general.type"); err == nil && kind != "model" {
		l.fault("metadata general.type is %q: want a file with a whole model", kind)
	}
	return l
}

// WithProgress has Load say how many bytes of the weights are ready, and how many there are, one call
// at a time from any goroutine.
func (l *Loader) WithProgress(f func(done, total int64)) { l.found.progress = f }

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

// Err returns the faults that were found so far, nil if there are none.
func (l *Loader) Err() error {
	if len(l.found.errs) == 0 {
		return nil
	}
	return fmt.Errorf("model: %w", errors.Join(l.found.errs...))
}

// Config returns the part of a configuration that all architectures have in common. The vocabulary
// is the size of the embedding table.
func (l *Loader) Config(hidden int) Config {
	c := Config{Architecture: l.file.Architecture(), Hidden: hidden, Context: l.IntOr("context_length", defaultContext)}
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
	if i < len(l.devices.Experts) {
		b.elsewhere = l.devices.Experts[i]
	}
	return &b
}

// Head returns a loader for the weights that score the next token, on the device that does.
func (l *Loader) Head() *Loader {
	h := *l
	h.backend = l.devices.Output
	return &h
}

// Has reports whether the file has a tensor of this loader's layer.
func (l *Loader) Has(name string) bool {
	_, ok := l.file.Tensor(l.prefix + name)
	return ok
}

// Spare says that the model is the same without a tensor of this loader's layer that the file may have.
func (l *Loader) Spare(name string) { l.found.spare[l.prefix+name] = true }

// Linear returns the matrix name.weight [in, out], and name.bias if there is one.
func (l *Loader) Linear(name string, in, out int) Linear {
	source, ok := l.source(name+".weight", in, out)
	if !ok {
		return Linear{}
	}
	w := l.linear(source)
	if l.Has(name + ".bias") {
		w.Bias = l.Vector(name+".bias", out)
	}
	return w
}

// Output returns the matrix that scores tokens: its own, or the embedding where the file has none.
func (l *Loader) Output(name, tied string, in, out int) Linear {
	if _, ok := l.file.Tensor(name + ".weight"); ok {
		return l.Linear(name, in, out)
	}
	if _, ok := l.file.Tensor(tied + ".weight"); ok {
		return l.tied(tied+".weight", in, out)
	}
	l.fault("neither tensor %s.weight nor %s.weight is there", name, tied)
	return Linear{}
}

// tied returns the embedding as a matrix. It is a second tensor where it is packed, or where the
// device has a faster layout for products, in which it looks no rows up, and where the file is
// mapped: all of the first one but the rows of a text's tokens then stays in the file, so this takes
// no more memory.
func (l *Loader) tied(name string, in, out int) Linear {
	source, ok := l.source(name, in, out)
	if !ok {
		return Linear{}
	}
	if l.file.Mapping(source.Part) == nil || !l.takes(source) && (l.devices.plain(l.backend, source).Any() || !l.fasterProducts(source)) {
		return l.linear(source)
	}
	for i, w := range l.found.weights {
		if w.source.Name == source.Name && w.backend == l.backend {
			l.found.weights[i].rows = true
		}
	}
	w := l.newWeight(source, []ggml.Op{ggml.OpMulMat})
	w.second = true
	w.products = l.unpacked(source)
	l.found.weights = append(l.found.weights, w)
	return Linear{Weight: w.tensor, products: w.products}
}

// fasterProducts reports whether the device has a layout in which it multiplies by a matrix, but looks
// no rows of it up.
func (l *Loader) fasterProducts(source gguf.Tensor) bool {
	shape := [4]int64{1, 1, 1, 1}
	copy(shape[:], source.Shape)
	typ := ggml.Type(source.Type)
	for _, extra := range l.devices.faster(l.backend) {
		if l.backend.SupportsWeight(ggml.OpMulMat, typ, shape, extra) {
			return !l.backend.SupportsWeight(ggml.OpGetRows, typ, shape, extra)
		}
	}
	return false
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
	return RMSNorm{Weight: l.Vector(name+".weight", dim), Eps: eps}
}

// Vector returns a tensor of one dimension, which must be f32.
func (l *Loader) Vector(name string, n int) *ggml.Tensor { return l.floats(name, n) }

// floats returns a tensor that must be f32.
func (l *Loader) floats(name string, shape ...int) *ggml.Tensor {
	source, ok := l.floatSource(name, shape...)
	if !ok {
		return nil
	}
	return l.weight(source, nil)
}

// floatSource finds a tensor of the file, which must have a shape and be f32.
func (l *Loader) floatSource(name string, shape ...int) (source gguf.Tensor, ok bool) {
	if t, ok := l.file.Tensor(l.prefix + name); ok && t.Type != gguf.F32 {
		l.fault("tensor %s is %v: want f32", l.prefix+name, t.Type)
		return t, false
	}
	return l.source(name, shape...)
}

// weightTypes are the types that matrices may have.
var weightTypes = []ggml.Type{
	ggml.F32, ggml.F16, ggml.BF16, ggml.Q4_0, ggml.Q4_1, ggml.Q5_0, ggml.Q5_1, ggml.Q8_0,
	ggml.Q2_K, ggml.Q3_K, ggml.Q4_K, ggml.Q5_K, ggml.Q6_K,
	ggml.IQ1_S, ggml.IQ1_M, ggml.IQ2_XXS, ggml.IQ2_XS, ggml.IQ2_S, ggml.IQ3_XXS, ggml.IQ3_S, ggml.IQ4_NL, ggml.IQ4_XS, ggml.MXFP4,
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
	l.found.tensors[name] = true
	return source, true
}

// weight returns the tensor on the device for one of the file, as it is there.
func (l *Loader) weight(source gguf.Tensor, ops []ggml.Op) *ggml.Tensor {
	w := l.find(source, ops)
	w.asInFile = true
	return w.tensor
}

// linear returns the matrix of a tensor of the file, or of several whose rows are one behind the other:
// then source describes them together. It is packed where that is possible.
func (l *Loader) linear(source gguf.Tensor, parts ...gguf.Tensor) Linear {
	w := l.find(source, []ggml.Op{ggml.OpMulMat})
	w.parts = parts
	if w.products == nil {
		w.products = l.unpacked(source)
	}
	plain := l.devices.plain(l.backend, source)
	w.numbers = plain.Any()
	return Linear{Weight: w.tensor, products: w.products, plain: plain}
}

// find returns the weight of a tensor of the file on the device, which is added if nobody has asked
// for it. It is valid until the next one is added.
func (l *Loader) find(source gguf.Tensor, ops []ggml.Op) *weight {
	all := l.found.weights
	for i, w := range all {
		if w.source.Name == source.Name && w.backend == l.backend && !w.second {
			all[i].ops = append(slices.Clone(w.ops), ops...)
			return &all[i]
		}
	}
	l.found.weights = append(l.found.weights, l.newWeight(source, ops))
	return &l.found.weights[len(all)]
}

// takes reports whether ebb multiplies by a matrix itself.
func (l *Loader) takes(source gguf.Tensor) bool {
	return len(source.Shape) == 2 && l.devices.products(l.backend).Takes(ggml.Type(source.Type), source.Shape[0], source.Shape[1])
}

// unpacked returns how a matrix is multiplied by before it is packed, which is by ggml; nil: it is not
// to be packed.
func (l *Loader) unpacked(source gguf.Tensor) *product.Products {
	if !l.takes(source) {
		return nil
	}
	return new(product.Products)
}

func (l *Loader) newWeight(source gguf.Tensor, ops []ggml.Op) weight {
	t := l.found.meta.New(ggml.Type(source.Type), source.Shape...)
	t.SetName(source.Name)
	return weight{source: source, tensor: t, backend: l.backend, ops: ops}
}
