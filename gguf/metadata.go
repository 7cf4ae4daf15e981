package gguf

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
)

// ErrNoKey reports that a file has no metadata under a key.
var ErrNoKey = errors.New("the file does not have it")

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

// DropArrays forgets the metadata's arrays, such as the vocabulary, which are nearly all of its
// memory: afterwards the file does not have them. It is for a program that keeps the file open and
// has read them. Strings and arrays that were returned stay valid. No other method may be called at
// the same time.
func (f *File) DropArrays() {
	f.meta = slices.DeleteFunc(f.meta, func(e entry) bool { return e.value.kind == KindArray })
	clear(f.metaIndex)
	for i := range f.meta {
		e := &f.meta[i]
		e.value.raw = strings.Clone(e.value.raw)
		f.metaIndex[e.key] = i
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

// Architecture returns the value of general.architecture, which says what kind of model this is;
// empty if there is none.
func (f *File) Architecture() string {
	s, _ := f.String("general.architecture")
	return s
}

// The getters below convert a value of another kind where that is exact: integers to floats, floats
// that are whole numbers to integers, and the integers 0 and 1 to bools, alone or in arrays. An
// error names the key. It wraps ErrNoKey if the key is absent; otherwise it names the value and the
// kind that is wanted. A slice is made anew by each call.

// String returns a string value.
func (f *File) String(key string) (string, error) {
	return scalar(f, key, "a string", func(k Kind, raw string) (string, bool) { return raw, k == KindString })
}

// Bool returns a bool value.
func (f *File) Bool(key string) (bool, error) { return scalar(f, key, "a bool", truth) }

// Uint returns a whole number from 0 to 2^64-1.
func (f *File) Uint(key string) (uint64, error) {
	return scalar(f, key, "a whole number that is not negative", unsigned)
}

// Int returns a whole number from -2^63 to 2^63-1.
func (f *File) Int(key string) (int64, error) { return scalar(f, key, "a whole number", signed) }

// Float returns a number.
func (f *File) Float(key string) (float64, error) { return scalar(f, key, "a number", number) }

// Strings returns an array of strings. They share one copy of the metadata in memory, so that a
// vocabulary costs one allocation, and stay valid after Close.
func (f *File) Strings(key string) ([]string, error) {
	v, ok := f.Value(key)
	if !ok {
		return nil, noKey(key)
	}
	all, ok := v.strings()
	if !ok {
		return nil, otherKind(key, v, "an array of strings")
	}
	return all, nil
}

// Bools returns an array of bools.
func (f *File) Bools(key string) ([]bool, error) { return array(f, key, "bools", truth) }

// Ints returns an array of whole numbers from -2^63 to 2^63-1.
func (f *File) Ints(key string) ([]int64, error) { return array(f, key, "whole numbers", signed) }

// Floats returns an array of numbers.
func (f *File) Floats(key string) ([]float64, error) { return array(f, key, "numbers", number) }

func noKey(key string) error { return fmt.Errorf("gguf: metadata %s: %w", quote(key), ErrNoKey) }

// otherKind says that the value of key is not what was wanted.
func otherKind(key string, v Value, want string) error {
	return fmt.Errorf("gguf: metadata %s is %s: want %s", quote(key), v.describe(), want)
}

// describe names the kind of v, and v itself unless it is long.
func (v Value) describe() string {
	switch v.kind {
	case KindArray:
		return fmt.Sprintf("an array of %d values of type %s", v.n, v.elem)
	case KindString:
		return "the string " + quote(v.raw)
	default:
		return fmt.Sprintf("%s %s", v.kind, v)
	}
}

// scalar decodes the value under key, which is not an array.
func scalar[T any](f *File, key, want string, decode func(k Kind, raw string) (T, bool)) (T, error) {
	var none T
	v, ok := f.Value(key)
	if !ok {
		return none, noKey(key)
	}
	x, ok := decode(v.kind, v.raw)
	if !ok {
		return none, otherKind(key, v, want)
	}
	return x, nil
}

// zero is the zero of every kind that has a fixed size.
const zero = "\x00\x00\x00\x00\x00\x00\x00\x00"

// array decodes the array under key. decode is given the kind of the elements and the bytes from
// one element on; it accepts the zero of each kind that it converts.
func array[T any](f *File, key, want string, decode func(k Kind, raw string) (T, bool)) ([]T, error) {
	v, ok := f.Value(key)
	if !ok {
		return nil, noKey(key)
	}
	if _, ok := decode(v.elem, zero); v.kind != KindArray || !ok { // the kind is asked first, as an empty array has one too
		return nil, otherKind(key, v, "an array of "+want)
	}
	size := int(v.elem.size())
	all := make([]T, v.n)
	for i := range all {
		raw := v.raw[i*size:]
		if all[i], ok = decode(v.elem, raw); !ok {
			element := Value{kind: v.elem, raw: raw}
			return nil, fmt.Errorf("gguf: element %d of metadata %s is %s: want an array of %s", i, quote(key), element.describe(), want)
		}
	}
	return all, nil
}

// unsigned converts a number to a uint64 of the same value.
func unsigned(k Kind, raw string) (uint64, bool) {
	if x, ok := float(k, raw); ok {
		return uint64(x), x >= 0 && x < 1<<64 && x == math.Trunc(x)
	}
	bits, neg, ok := integer(k, raw)
	return bits, ok && !neg
}

// signed converts a number to an int64 of the same value.
func signed(k Kind, raw string) (int64, bool) {
	if x, ok := float(k, raw); ok {
		return int64(x), x >= -1<<63 && x < 1<<63 && x == math.Trunc(x)
	}
	bits, neg, ok := integer(k, raw)
	return int64(bits), ok && (neg || bits <= math.MaxInt64)
}

// number converts a number to a float64 of the same value.
func number(k Kind, raw string) (float64, bool) {
	if x, ok := float(k, raw); ok {
		return x, true
	}
	bits, neg, ok := integer(k, raw)
	switch {
	case !ok:
		return 0, false
	case neg:
		x := float64(int64(bits))
		return x, int64(x) == int64(bits) // from -2^63 on, which a float64 holds
	default:
		x := float64(bits)
		return x, x < 1<<64 && uint64(x) == bits
	}
}

// truth converts a bool, or one of the integers 0 and 1.
func truth(k Kind, raw string) (bool, bool) {
	if k == KindBool && raw != "" {
		return raw[0] != 0, true
	}
	bits, neg, ok := integer(k, raw)
	return bits == 1, ok && !neg && bits <= 1
}
