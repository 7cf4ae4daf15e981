package gguf_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/gguf"
)

// answer is what a getter returned.
type answer struct {
	Value any
	OK    bool
}

func get[T any](value T, err error) answer { return answer{value, err == nil} }

func TestGettersConvertWhatConvertsExactlyAndRefuseTheRest(t *testing.T) {
	f, err := gguf.Parse(tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	const none = uint64(0)
	tests := []struct {
		name      string
		got, want answer
	}{
		{"Uint u8", get(f.Uint("u8")), answer{uint64(255), true}},
		{"Uint u64", get(f.Uint("u64")), answer{uint64(math.MaxUint64), true}},
		{"Uint of a negative", get(f.Uint("i8")), answer{none, false}},
		{"Uint of a string", get(f.Uint("empty")), answer{none, false}},
		{"Uint of a float", get(f.Uint("f32")), answer{none, false}},
		{"Uint of an array", get(f.Uint("u8s")), answer{none, false}},
		{"Uint of a bool", get(f.Uint("yes")), answer{none, false}},
		{"Uint of nothing", get(f.Uint("absent")), answer{none, false}},
		{"Int i8", get(f.Int("i8")), answer{int64(-128), true}},
		{"Int i16", get(f.Int("i16")), answer{int64(math.MinInt16), true}},
		{"Int i32", get(f.Int("i32")), answer{int64(math.MinInt32), true}},
		{"Int i64", get(f.Int("i64")), answer{int64(math.MinInt64), true}},
		{"Int u16", get(f.Int("u16")), answer{int64(math.MaxUint16), true}},
		{"Int u32", get(f.Int("u32")), answer{int64(math.MaxUint32), true}},
		{"Int of a large u64", get(f.Int("u64")), answer{int64(0), false}},
		{"Float f32", get(f.Float("f32")), answer{float64(float32(1e-5)), true}},
		{"Float f64", get(f.Float("f64")), answer{math.Pi, true}},
		{"Float of an integer", get(f.Float("u32")), answer{float64(math.MaxUint32), true}},
		{"Float of a large u64", get(f.Float("u64")), answer{0.0, false}},
		{"Float of a negative", get(f.Float("i64")), answer{float64(math.MinInt64), true}},
		{"Float of a bool", get(f.Float("yes")), answer{0.0, false}},
		{"Float of a string", get(f.Float("empty")), answer{0.0, false}},
		{"Bool", get(f.Bool("yes")), answer{true, true}},
		{"Bool of an integer", get(f.Bool("u8")), answer{false, false}},
		{"String", get(f.String("general.architecture")), answer{"llama", true}},
		{"String, empty", get(f.String("empty")), answer{"", true}},
		{"String of an array", get(f.String("tokens")), answer{"", false}},
		{"Strings", get(f.Strings("tokens")), answer{[]string{"a", "", "Ġthe", "\xff"}, true}},
		{"Strings of a string", get(f.Strings("empty")), answer{[]string(nil), false}},
		{"Ints i16", get(f.Ints("i16s")), answer{[]int64{-1, 1}, true}},
		{"Ints, empty", get(f.Ints("u32s")), answer{[]int64{}, true}},
		{"Ints of large u64", get(f.Ints("u64s")), answer{[]int64(nil), false}},
		{"Ints of strings", get(f.Ints("tokens")), answer{[]int64(nil), false}},
		{"Ints of an integer", get(f.Ints("u8")), answer{[]int64(nil), false}},
		{"Floats f32", get(f.Floats("f32s")), answer{[]float64{0.5, math.Inf(1)}, true}},
		{"Floats f64", get(f.Floats("f64s")), answer{[]float64{0.25}, true}},
		{"Floats of integers", get(f.Floats("i8s")), answer{[]float64{-1, 1}, true}},
		{"Floats of strings", get(f.Floats("tokens")), answer{[]float64(nil), false}},
		{"Bools", get(f.Bools("bools")), answer{[]bool{true, false}, true}},
		{"Bools of integers", get(f.Bools("u8s")), answer{[]bool(nil), false}},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.got, test.want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", test.name, diff)
		}
	}
}

func TestAnEmptyArrayHasTheKindOfItsElements(t *testing.T) {
	f, err := gguf.Parse(write(t, []gguf.KV{{"u32s", []uint32{}}, {"strings", []string{}}}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Strings("u32s"); err == nil {
		t.Errorf("Strings of an empty uint32 array: %v, want an error", got)
	}
	if got, err := f.Floats("strings"); err == nil {
		t.Errorf("Floats of an empty string array: %v, want an error", got)
	}
	if got, err := f.Floats("u32s"); err != nil || len(got) != 0 {
		t.Errorf("Floats of an empty uint32 array: %v, %v, want none", got, err)
	}
}

func TestConversionsAreExactOrRefused(t *testing.T) {
	f, err := gguf.Parse(write(t, []gguf.KV{
		{"whole", float32(500000)},
		{"half", 0.5},
		{"nan", math.NaN()},
		{"inf", float32(math.Inf(1))},
		{"2^63", float64(1 << 63)},
		{"2^64", float64(1 << 63 * 2)},
		{"-2^63", float64(-1 << 63)},
		{"2^53+1", uint64(1<<53 + 1)},
		{"-2^53-1", int64(-1<<53 - 1)},
		{"2^63-1", int64(math.MaxInt64)},
		{"zero", uint8(0)},
		{"one", int64(1)},
		{"minus", int8(-1)},
		{"floats", []float64{1, 2.5}},
		{"bits", []uint8{1, 0}},
	}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		got, want answer
	}{
		{"Uint of a whole float", get(f.Uint("whole")), answer{uint64(500000), true}},
		{"Uint of a half", get(f.Uint("half")), answer{uint64(0), false}},
		{"Uint of NaN", get(f.Uint("nan")), answer{uint64(0), false}},
		{"Uint of infinity", get(f.Uint("inf")), answer{uint64(0), false}},
		{"Uint of 2^63", get(f.Uint("2^63")), answer{uint64(1 << 63), true}},
		{"Uint of 2^64", get(f.Uint("2^64")), answer{uint64(0), false}},
		{"Int of 2^63", get(f.Int("2^63")), answer{int64(0), false}},
		{"Int of -2^63", get(f.Int("-2^63")), answer{int64(math.MinInt64), true}},
		{"Float of 2^53+1", get(f.Float("2^53+1")), answer{0.0, false}},
		{"Float of -2^53-1", get(f.Float("-2^53-1")), answer{0.0, false}},
		{"Float of 2^63-1", get(f.Float("2^63-1")), answer{0.0, false}},
		{"Float of NaN", answer{math.IsNaN(first(f.Float("nan"))), true}, answer{true, true}},
		{"Bool of 0", get(f.Bool("zero")), answer{false, true}},
		{"Bool of 1", get(f.Bool("one")), answer{true, true}},
		{"Bool of -1", get(f.Bool("minus")), answer{false, false}},
		{"Bools of 1 and 0", get(f.Bools("bits")), answer{[]bool{true, false}, true}},
		{"Ints of 1 and 2.5", get(f.Ints("floats")), answer{[]int64(nil), false}},
	} {
		if diff := cmp.Diff(test.got, test.want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", test.name, diff)
		}
	}
}

func first[T any](value T, _ error) T { return value }

func TestAGettersErrorNamesTheKeyAndBothTypes(t *testing.T) {
	f, err := gguf.Parse(tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	err1 := func(_ any, err error) error { return err }
	for want, err := range map[string]error{
		`gguf: metadata "absent": the file does not have it`:                                             err1(f.Float("absent")),
		`gguf: metadata "f32" is float32 1e-05: want a whole number`:                                     err1(f.Int("f32")),
		`gguf: metadata "i8" is int8 -128: want a whole number that is not negative`:                     err1(f.Uint("i8")),
		`gguf: metadata "general.architecture" is the string "llama": want a number`:                     err1(f.Float("general.architecture")),
		`gguf: metadata "tokens" is an array of 4 values of type string: want a string`:                  err1(f.String("tokens")),
		`gguf: metadata "u8" is uint8 255: want an array of strings`:                                     err1(f.Strings("u8")),
		`gguf: metadata "u8" is uint8 255: want a bool`:                                                  err1(f.Bool("u8")),
		`gguf: metadata "tokens" is an array of 4 values of type string: want an array of whole numbers`: err1(f.Ints("tokens")),
		`gguf: element 0 of metadata "f32s" is float32 0.5: want an array of whole numbers`:              err1(f.Ints("f32s")),
		`gguf: metadata "general.architecture" is the string "llama": want an array of numbers`:          err1(f.Floats("general.architecture")),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("got the error %v, want %s", err, want)
		}
		if absent := strings.Contains(want, "absent"); errors.Is(err, gguf.ErrNoKey) != absent {
			t.Errorf("%v is ErrNoKey: %t, want %t", err, !absent, absent)
		}
	}
}

func TestKeysAreInFileOrder(t *testing.T) {
	f, err := gguf.Parse(tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, kv := range tinyMeta {
		want = append(want, kv.Key)
	}
	if diff := cmp.Diff(f.Keys(), want); diff != "" {
		t.Errorf("keys (-got +want):\n%s", diff)
	}
}

func TestValuesDescribeThemselves(t *testing.T) {
	f, err := gguf.Parse(tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		key        string
		kind, elem gguf.Kind
		n          int
		text       string
	}{
		{"general.architecture", gguf.KindString, gguf.KindString, 1, "llama"},
		{"i8", gguf.KindInt8, gguf.KindInt8, 1, "-128"},
		{"f32", gguf.KindFloat32, gguf.KindFloat32, 1, "1e-05"},
		{"yes", gguf.KindBool, gguf.KindBool, 1, "true"},
		{"tokens", gguf.KindArray, gguf.KindString, 4, "[4]string"},
		{"u32s", gguf.KindArray, gguf.KindUint32, 0, "[0]uint32"},
	}
	for _, test := range tests {
		v, ok := f.Value(test.key)
		if !ok || v.Kind() != test.kind || v.Elem() != test.elem || v.Len() != test.n || v.String() != test.text {
			t.Errorf("%s: %t, %s of %s, length %d, %q, want %s of %s, length %d, %q",
				test.key, ok, v.Kind(), v.Elem(), v.Len(), v, test.kind, test.elem, test.n, test.text)
		}
	}
	if v, ok := f.Value("absent"); ok || v.Any() != nil {
		t.Errorf("absent key: %v, %t, want nothing", v, ok)
	}
}

func TestArraysCanBeDropped(t *testing.T) {
	var file bytes.Buffer
	meta := []gguf.KV{
		{Key: "general.architecture", Value: "llama"},
		{Key: "tokenizer.ggml.tokens", Value: []string{"a", "b"}},
		{Key: "llama.block_count", Value: uint32(7)},
	}
	if err := gguf.Write(&file, meta, nil); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := f.Strings("tokenizer.ggml.tokens")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		f.DropArrays()
		if _, err := f.Strings("tokenizer.ggml.tokens"); !errors.Is(err, gguf.ErrNoKey) {
			t.Errorf("the tokens: %v, want %v", err, gguf.ErrNoKey)
		}
		if n, err := f.Int("llama.block_count"); n != 7 || err != nil || f.Architecture() != "llama" {
			t.Errorf("the block count is %d (%v) and the architecture %q; want 7 and llama", n, err, f.Architecture())
		}
		if diff := cmp.Diff([]string{"general.architecture", "llama.block_count"}, f.Keys()); diff != "" {
			t.Errorf("keys (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{"a", "b"}, tokens); diff != "" {
		t.Errorf("tokens that were returned before (-want +got):\n%s", diff)
	}
}
