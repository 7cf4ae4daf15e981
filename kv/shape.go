package kv

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
)

// Shape is one layer's K and V: the number of KV heads and the values in a head's key and value.
type Shape struct {
	Heads    int
	KeyDim   int
	ValueDim int
	Window   int // tokens that a token sees, itself and those before it; 0: all

	// Shares says that the layer keeps no rows: it attends to those of an earlier layer, Of, of the
	// same shape.
	Shares bool
	Of     int

	// State is how many f32 values a recurrent layer carries of each sequence. It keeps no rows then,
	// and has no heads. A layer with neither keeps nothing.
	State int
}

// types are the tensor types that keys and values may have.
var types = []ggml.Type{ggml.F32, ggml.F16, ggml.BF16, ggml.Q8_0, ggml.Q4_0}

// ParseType returns the K/V type of that name: f32, f16, bf16, q8_0 or q4_0.
func ParseType(name string) (ggml.Type, error) {
	for _, t := range types {
		if t.String() == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("kv: unknown K/V type %q: want one of %s", name, strings.Join(TypeNames(), ", "))
}

// TypeNames returns the names that [ParseType] takes.
func TypeNames() []string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return names
}

// keepsRows reports whether the layer has keys and values of its own.
func (s Shape) keepsRows() bool { return !s.Shares && s.attends() }

// attends reports whether the layer attends to keys and values, its own or another's.
func (s Shape) attends() bool { return s.Heads != 0 || s.KeyDim != 0 || s.ValueDim != 0 }

// layout returns the bytes of the shape's rows.
func (s Shape) layout(k, v ggml.Type) tier.Layout {
	if !s.attends() {
		return tier.Layout{}
	}
	return tier.Layout{Heads: s.Heads, KeyBytes: k.RowSize(int64(s.KeyDim)), ValueBytes: v.RowSize(int64(s.ValueDim))}
}

// validate reports a shape that cannot be kept in these types.
func (s Shape) validate(k, v ggml.Type) error {
	var errs []error
	if s.Window < 0 {
		errs = append(errs, fmt.Errorf("a window of %d tokens: want at least 1, or 0 for all tokens", s.Window))
	}
	if s.State < 0 || s.State > 0 && s.Heads != 0 {
		errs = append(errs, fmt.Errorf("a state of %d values and %d KV heads: want one or the other", s.State, s.Heads))
	}
	if !s.attends() {
		return errors.Join(errs...)
	}
	if s.Heads < 1 || s.KeyDim < 1 || s.ValueDim < 1 {
		errs = append(errs, fmt.Errorf("%d KV heads, key dim %d, value dim %d: all must be at least 1", s.Heads, s.KeyDim, s.ValueDim))
	}
	for _, d := range [...]struct {
		name string
		dim  int
		t    ggml.Type
	}{{"key", s.KeyDim, k}, {"value", s.ValueDim, v}} {
		switch {
		case !slices.Contains(types, d.t):
			errs = append(errs, fmt.Errorf("%s type %v: want one of %s", d.name, d.t, strings.Join(TypeNames(), ", ")))
		case int64(d.dim)%d.t.BlockSize() != 0:
			errs = append(errs, fmt.Errorf("%s dim %d is not a multiple of %d, the block of %v: use f32, f16 or bf16", d.name, d.dim, d.t.BlockSize(), d.t))
		}
	}
	return errors.Join(errs...)
}

// Bytes returns what one token's key and value take in all heads.
func (s Shape) Bytes(k, v ggml.Type) int64 { return s.layout(k, v).RowBytes() }
