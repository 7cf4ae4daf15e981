package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Kind is the kind of a metadata value, with the format's number for it.
type Kind uint32

// The kinds of metadata values.
const (
	KindUint8   Kind = 0
	KindInt8    Kind = 1
	KindUint16  Kind = 2
	KindInt16   Kind = 3
	KindUint32  Kind = 4
	KindInt32   Kind = 5
	KindFloat32 Kind = 6
	KindBool    Kind = 7
	KindString  Kind = 8
	KindArray   Kind = 9
	KindUint64  Kind = 10
	KindInt64   Kind = 11
	KindFloat64 Kind = 12
)

// kinds gives names and sizes in bytes; strings and arrays have no fixed size.
var kinds = [...]struct {
	name string
	size int64
}{
	KindUint8:   {"uint8", 1},
	KindInt8:    {"int8", 1},
	KindUint16:  {"uint16", 2},
	KindInt16:   {"int16", 2},
	KindUint32:  {"uint32", 4},
	KindInt32:   {"int32", 4},
	KindFloat32: {"float32", 4},
	KindBool:    {"bool", 1},
	KindString:  {"string", 0},
	KindArray:   {"array", 0},
	KindUint64:  {"uint64", 8},
	KindInt64:   {"int64", 8},
	KindFloat64: {"float64", 8},
}

func (k Kind) known() bool { return uint64(k) < uint64(len(kinds)) }

// size returns the bytes of a value of a fixed size, 0 for strings, arrays and unknown kinds.
func (k Kind) size() int64 {
	if !k.known() {
		return 0
	}
	return kinds[k].size
}

// String returns the kind's name, as in "uint32".
func (k Kind) String() string {
	if !k.known() {
		return fmt.Sprintf("kind(%d)", uint32(k))
	}
	return kinds[k].name
}

// Value is a metadata value: a number, a bool, a string, or an array of one of these. It stays
// valid after File.Close.
type Value struct {
	kind Kind
	elem Kind   // of an array
	n    int    // elements of an array
	raw  string // as in the file; of a string, without its length
}

// Kind returns what kind of value v is.
func (v Value) Kind() Kind { return v.kind }

// Elem returns the kind of an array's elements, and v's own kind if v is not an array.
func (v Value) Elem() Kind {
	if v.kind == KindArray {
		return v.elem
	}
	return v.kind
}

// Len returns the number of elements of an array, and 1 for anything else.
func (v Value) Len() int {
	if v.kind == KindArray {
		return v.n
	}
	return 1
}

// Any returns v as a Go value of the same kind: uint8, …, float64, bool, string, or a slice of one
// of these. A slice is made anew by each call; its strings share the file's one copy of the
// metadata.
func (v Value) Any() any {
	switch v.Elem() {
	case KindUint8:
		return oneOrAll(v, func(r string) uint8 { return r[0] })
	case KindInt8:
		return oneOrAll(v, func(r string) int8 { return int8(r[0]) })
	case KindUint16:
		return oneOrAll(v, le16)
	case KindInt16:
		return oneOrAll(v, func(r string) int16 { return int16(le16(r)) })
	case KindUint32:
		return oneOrAll(v, le32)
	case KindInt32:
		return oneOrAll(v, func(r string) int32 { return int32(le32(r)) })
	case KindUint64:
		return oneOrAll(v, le64)
	case KindInt64:
		return oneOrAll(v, func(r string) int64 { return int64(le64(r)) })
	case KindFloat32:
		return oneOrAll(v, func(r string) float32 { return math.Float32frombits(le32(r)) })
	case KindFloat64:
		return oneOrAll(v, func(r string) float64 { return math.Float64frombits(le64(r)) })
	case KindBool:
		return oneOrAll(v, func(r string) bool { return r[0] != 0 })
	case KindString:
		if v.kind == KindString {
			return v.raw
		}
		s, _ := v.strings()
		return s
	default:
		return nil
	}
}

// String formats v for people: a scalar as itself, an array as its length and kind, as in
// "[49152]string".
func (v Value) String() string {
	if v.kind == KindArray {
		return fmt.Sprintf("[%d]%s", v.n, v.elem)
	}
	return fmt.Sprint(v.Any())
}

// oneOrAll decodes v, whose elements have a fixed size, as a T or a []T.
func oneOrAll[T any](v Value, decode func(raw string) T) any {
	size := int(v.Elem().size())
	if v.kind != KindArray {
		if len(v.raw) < size { // the zero Value
			return nil
		}
		return decode(v.raw)
	}
	all := make([]T, v.n)
	for i := range all {
		all[i] = decode(v.raw[i*size:])
	}
	return all
}

// strings returns an array's strings, which share the memory of v.raw: one allocation however many
// there are.
func (v Value) strings() ([]string, bool) {
	if v.kind != KindArray || v.elem != KindString {
		return nil, false
	}
	all := make([]string, v.n)
	raw := v.raw
	for i := range all {
		n := le64(raw)
		all[i], raw = raw[8:8+n], raw[8+n:]
	}
	return all, true
}

// integer decodes an integer of kind k as 64 bits; neg says that they are those of a negative
// int64. ok is false if k is no integer kind or raw is too short.
func integer(k Kind, raw string) (bits uint64, neg, ok bool) {
	if int64(len(raw)) < k.size() {
		return 0, false, false
	}
	var i int64
	switch k {
	case KindUint8:
		return uint64(raw[0]), false, true
	case KindUint16:
		return uint64(le16(raw)), false, true
	case KindUint32:
		return uint64(le32(raw)), false, true
	case KindUint64:
		return le64(raw), false, true
	case KindInt8:
		i = int64(int8(raw[0]))
	case KindInt16:
		i = int64(int16(le16(raw)))
	case KindInt32:
		i = int64(int32(le32(raw)))
	case KindInt64:
		i = int64(le64(raw))
	default:
		return 0, false, false
	}
	return uint64(i), i < 0, true
}

// float decodes a number of a float kind; ok is false if k is another kind or raw is too short.
func float(k Kind, raw string) (x float64, ok bool) {
	switch {
	case int64(len(raw)) < k.size():
		return 0, false
	case k == KindFloat32:
		return float64(math.Float32frombits(le32(raw))), true
	case k == KindFloat64:
		return math.Float64frombits(le64(raw)), true
	default:
		return 0, false
	}
}

// The conversions below do not allocate: the compiler keeps such short slices on the stack.
func le16(s string) uint16 { return binary.LittleEndian.Uint16([]byte(s[:2])) }
func le32(s string) uint32 { return binary.LittleEndian.Uint32([]byte(s[:4])) }
func le64(s string) uint64 { return binary.LittleEndian.Uint64([]byte(s[:8])) }
