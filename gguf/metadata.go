package gguf

import (
	"iter"
	"math"
)

// The getters below return false if the key is absent or its value is of another kind. A slice is made anew by each call.

// Keys returns the metadata keys in file order.
func (f *File) Keys() []string {
	keys := make([]string, len(f.meta))
	for i, e := range f.meta {
		keys[i] = e.key
	}
	return keys
}

// Metadata returns the keys and values in file order.
func (f *File) Metadata() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for _, e := range f.meta {
			if !yield(e.key, e.value) {
				return
			}
		}
	}
}

// Value returns the value of key, whatever its kind.
func (f *File) Value(key string) (Value, bool) {
	i, ok := f.metaIndex[key]
	if !ok {
		return Value{}, false
	}
	return f.meta[i].value, true
}

// Architecture returns the value of general.architecture, which says what kind of model this is; empty if there is none.
func (f *File) Architecture() string {
	s, _ := f.String("general.architecture")
	return s
}

// String returns a string value.
func (f *File) String(key string) (string, bool) {
	v, ok := f.Value(key)
	if !ok || v.kind != KindString {
		return "", false
	}
	return v.raw, true
}

// Bool returns a bool value.
func (f *File) Bool(key string) (value, ok bool) {
	v, ok := f.Value(key)
	if !ok || v.kind != KindBool {
		return false, false
	}
	return v.raw[0] != 0, true
}

// Uint returns a value of any integer kind that is not negative.
func (f *File) Uint(key string) (uint64, bool) {
	v, ok := f.Value(key)
	if !ok {
		return 0, false
	}
	bits, neg, ok := integer(v.kind, v.raw)
	if !ok || neg {
		return 0, false
	}
	return bits, true
}

// Int returns a value of any integer kind that an int64 can hold.
func (f *File) Int(key string) (int64, bool) {
	v, ok := f.Value(key)
	if !ok {
		return 0, false
	}
	return signed(v.kind, v.raw)
}

// Float returns a float32 or float64 value.
func (f *File) Float(key string) (float64, bool) {
	v, ok := f.Value(key)
	if !ok {
		return 0, false
	}
	return float(v.kind, v.raw)
}

// Strings returns an array of strings. They share one copy of the metadata in memory, so that a vocabulary costs one
// allocation, and stay valid after Close.
func (f *File) Strings(key string) ([]string, bool) {
	v, ok := f.Value(key)
	if !ok {
		return nil, false
	}
	return v.strings()
}

// Bools returns an array of bools.
func (f *File) Bools(key string) ([]bool, bool) {
	return array(f, key, func(k Kind, raw string) (bool, bool) { return raw[0] != 0, k == KindBool })
}

// Ints returns an array of any integer kind whose elements an int64 can hold.
func (f *File) Ints(key string) ([]int64, bool) { return array(f, key, signed) }

// Floats returns an array of float32 or float64.
func (f *File) Floats(key string) ([]float64, bool) { return array(f, key, float) }

// signed decodes an integer that an int64 can hold.
func signed(k Kind, raw string) (int64, bool) {
	bits, neg, ok := integer(k, raw)
	if !ok || !neg && bits > math.MaxInt64 {
		return 0, false
	}
	return int64(bits), true
}

// zero is the zero of every kind that has a fixed size.
const zero = "\x00\x00\x00\x00\x00\x00\x00\x00"

// array decodes the array under key; decode is given the kind of the elements and the bytes from one element on.
// It takes the zero of each kind that it is for.
func array[T any](f *File, key string, decode func(k Kind, raw string) (T, bool)) ([]T, bool) {
	v, ok := f.Value(key)
	if !ok || v.kind != KindArray {
		return nil, false
	}
	if _, ok := decode(v.elem, zero); !ok { // asked first, as an empty array has a kind too
		return nil, false
	}
	size := int(v.elem.size())
	all := make([]T, v.n)
	for i := range all {
		if all[i], ok = decode(v.elem, v.raw[i*size:]); !ok {
			return nil, false
		}
	}
	return all, true
}
