package model

import (
	"errors"
	"math"
	"slices"

	"github.com/seed4d217819/ebb/gguf"
)

// predictBlocks is the metadata that says how many of a file's last blocks only draft tokens
// (multi-token prediction: Gloeckle et al., 2024). They are no layers.
const predictBlocks = "nextn_predict_layers"

// LayerCount returns how many layers a file says that its model has, and 0 if it says nothing
// sensible or is no model. Whether the number fits the tensors is checked when an architecture
// opens the file.
func LayerCount(f *gguf.File) int {
	blocks, err := f.Uint(f.Architecture() + ".block_count")
	drafting, _ := f.Uint(f.Architecture() + "." + predictBlocks)
	if err != nil || blocks > uint64(len(f.Tensors())) || drafting > blocks {
		return 0
	}
	return int(blocks - drafting)
}

// maxCount bounds the counts and sizes of a model: far above any, and far below where products of
// two overflow.
const maxCount = 1 << 24

// key returns the full name of an architecture's metadata.
func (l *Loader) key(name string) string { return l.file.Architecture() + "." + name }

// get reads metadata of the architecture with one of the file's getters, and returns whether it is
// there. A value of a type that does not convert is a fault.
func get[T any](l *Loader, name string, read func(key string) (T, error)) (value T, there bool) {
	l.found.keys[name] = true
	value, err := read(l.key(name))
	if err != nil && !errors.Is(err, gguf.ErrNoKey) {
		l.fault("%w", err)
	}
	return value, err == nil
}

// need notes a fault if metadata that must be there is missing.
func (l *Loader) need(name string) {
	if _, there := l.file.Value(l.key(name)); !there {
		l.fault("metadata %s is missing", l.key(name))
	}
}

// Int returns a count or size that must be there.
func (l *Loader) Int(name string) int {
	l.need(name)
	return l.IntOr(name, 0)
}

// IntOr returns a count or size, from 1 to 2^24, or the default if the file has none.
func (l *Loader) IntOr(name string, byDefault int) int {
	n, there := get(l, name, l.file.Int)
	if !there {
		return byDefault
	}
	return l.count(name, n)
}

// UpTo returns a number from 0 to most, or 0 if the file has none.
func (l *Loader) UpTo(name string, most int) int {
	n, _ := get(l, name, l.file.Int)
	if n < 0 || n > int64(most) {
		l.fault("metadata %s is %d: want a whole number from 0 to %d", l.key(name), n, most)
		return 0
	}
	return int(n)
}

// count returns a number that the file has under a name, if it can be a count.
func (l *Loader) count(name string, n int64) int {
	if n < 1 || n > maxCount {
		l.fault("metadata %s is %d: want a whole number from 1 to %d", l.key(name), n, maxCount)
		return 0
	}
	return int(n)
}

// IntByLayer returns a count or size of each layer. The file has it as one number for all layers or
// as an array with one number a layer.
func (l *Loader) IntByLayer(name string, layers int) []int {
	l.need(name)
	return l.IntByLayerOr(name, layers, nil)
}

// IntByLayerOr is IntByLayer with a default for each layer, for files that have no such metadata.
func (l *Loader) IntByLayerOr(name string, layers int, byDefault []int) []int {
	return l.byLayer(name, layers, byDefault, l.count)
}

// SomeByLayer is IntByLayerOr for a count that is 0 in some layers.
func (l *Loader) SomeByLayer(name string, layers int, byDefault []int) []int {
	return l.byLayer(name, layers, byDefault, func(name string, n int64) int {
		if n == 0 {
			return 0
		}
		return l.count(name, n)
	})
}

// byLayer returns what number makes of the one that the file has for all layers, or of those that it has
// for each.
func (l *Loader) byLayer(name string, layers int, byDefault []int, number func(name string, n int64) int) []int {
	if v, _ := l.file.Value(l.key(name)); v.Kind() != gguf.KindArray {
		if n, there := get(l, name, l.file.Int); there {
			return slices.Repeat([]int{number(name, n)}, layers)
		}
		if byDefault == nil {
			return make([]int, layers)
		}
		return byDefault
	}
	counts := make([]int, layers)
	all, ok := get(l, name, l.file.Ints)
	if ok && len(all) == layers+l.drafting() {
		all = all[:layers]
	}
	if ok && len(all) != layers {
		l.fault("metadata %s has %d numbers: want one for each of the %d layers", l.key(name), len(all), layers)
	}
	for i := range min(len(all), layers) {
		counts[i] = number(name, all[i])
	}
	return counts
}

// Layers returns the number of layers, without blocks that only draft tokens. Each has tensors, so a
// number above that of all tensors is a fault.
func (l *Loader) Layers() int {
	n, tensors := l.Int("block_count"), len(l.file.Tensors())
	if n > tensors {
		l.fault("metadata %s is %d: the file has only %d tensors", l.key("block_count"), n, tensors)
		return 0
	}
	drafting := l.drafting()
	if drafting > 0 && drafting >= n {
		l.fault("metadata %s is %d: want less than the %d blocks", l.key(predictBlocks), drafting, n)
		return 0
	}
	return n - drafting
}

// drafting returns how many of the last blocks only draft tokens.
func (l *Loader) drafting() int {
	n, _ := get(l, predictBlocks, l.file.Int)
	if n < 0 || n > maxCount {
		l.fault("metadata %s is %d: want a whole number that is not negative", l.key(predictBlocks), n)
		return 0
	}
	return int(n)
}

// Float returns a number that must be there.
func (l *Loader) Float(name string) float32 {
	l.need(name)
	return l.FloatOr(name, 0)
}

// FloatOr returns a finite number, or the default if the file has none. A float64 is rounded to a
// float32; an integer must be one exactly.
func (l *Loader) FloatOr(name string, byDefault float32) float32 {
	x, there := get(l, name, l.file.Float)
	if !there {
		return byDefault
	}
	v, _ := l.file.Value(l.key(name))
	rounded := float64(float32(x))
	isFloat := v.Kind() == gguf.KindFloat32 || v.Kind() == gguf.KindFloat64
	if math.IsNaN(x) || math.IsInf(rounded, 0) || !isFloat && rounded != x {
		l.fault("metadata %s is %v %v: want a finite number that a float32 holds", l.key(name), v.Kind(), v)
		return byDefault
	}
	return float32(x)
}

// FactorOr returns a positive number, or the default if the file has none or 0, which is how
// converters write none.
func (l *Loader) FactorOr(name string, byDefault float32) float32 {
	x := l.FloatOr(name, byDefault)
	if x == 0 {
		return byDefault
	}
	l.positive(name, x)
	return x
}

// StringOr returns a text, or the default if the file has none.
func (l *Loader) StringOr(name, byDefault string) string {
	if s, there := get(l, name, l.file.String); there {
		return s
	}
	return byDefault
}

// BoolOr returns a switch, or the default if the file has none.
func (l *Loader) BoolOr(name string, byDefault bool) bool {
	if b, there := get(l, name, l.file.Bool); there {
		return b
	}
	return byDefault
}
