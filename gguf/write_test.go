package gguf_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/gguf"
)

func write(tb testing.TB, meta []gguf.KV, tensors []gguf.TensorData) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := gguf.Write(&b, meta, tensors); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// tinyMeta has a value of every kind.
var tinyMeta = []gguf.KV{
	{"general.architecture", "llama"},
	{"u8", uint8(math.MaxUint8)},
	{"i8", int8(math.MinInt8)},
	{"u16", uint16(math.MaxUint16)},
	{"i16", int16(math.MinInt16)},
	{"u32", uint32(math.MaxUint32)},
	{"i32", int32(math.MinInt32)},
	{"u64", uint64(math.MaxUint64)},
	{"i64", int64(math.MinInt64)},
	{"f32", float32(1e-5)},
	{"f64", math.Pi},
	{"yes", true},
	{"empty", ""},
	{"u8s", []uint8{0, 255}},
	{"i8s", []int8{-1, 1}},
	{"u16s", []uint16{0, 65535}},
	{"i16s", []int16{-1, 1}},
	{"u32s", []uint32{}},
	{"i32s", []int32{-1, 1}},
	{"u64s", []uint64{0, math.MaxUint64}},
	{"i64s", []int64{-1, 1}},
	{"f32s", []float32{0.5, float32(math.Inf(1))}},
	{"f64s", []float64{0.25}},
	{"bools", []bool{true, false}},
	{"tokens", []string{"a", "", "Ġthe", "\xff"}},
}

// tiny is a small valid file with all kinds of values and two tensors; its last byte belongs to a
// tensor.
func tiny(tb testing.TB) []byte {
	tb.Helper()
	return write(tb, tinyMeta, []gguf.TensorData{
		{"norm", gguf.F32, []int64{3}, bytes.Repeat([]byte{1}, 12)},
		{"w", gguf.Q8_0, []int64{32, 2, 1, 16}, bytes.Repeat([]byte{2}, 34*2*16)}, // a multiple of 32: no padding after it
	})
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	f, err := gguf.Parse(tiny(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pairs(f), tinyMeta); diff != "" {
		t.Errorf("metadata (-got +want):\n%s", diff)
	}
	w, _ := f.Tensor("w")
	if got, want := w.String(), "w q8_0 [32 2 1 16]"; got != want {
		t.Errorf("tensor %s, want %s", got, want)
	}
	if got, want := w.Elements(), int64(1024); got != want {
		t.Errorf("%d elements, want %d", got, want)
	}
	if !bytes.Equal(f.Data(w), bytes.Repeat([]byte{2}, 34*2*16)) {
		t.Error("the tensor's bytes are not those written")
	}
}

// pairs returns all metadata as it would be written.
func pairs(f *gguf.File) []gguf.KV {
	var all []gguf.KV
	for key, v := range f.Metadata() {
		all = append(all, gguf.KV{Key: key, Value: v.Any()})
	}
	return all
}

func TestWriteAndParseAreInverses(t *testing.T) {
	types := []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q4_0, gguf.Q4_K, gguf.Q8_0, gguf.IQ4_XS, gguf.I8, gguf.NVFP4}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(
			rapid.Uint8().AsAny(), rapid.Int8().AsAny(), rapid.Uint16().AsAny(), rapid.Int16().AsAny(),
			rapid.Uint32().AsAny(), rapid.Int32().AsAny(), rapid.Uint64().AsAny(), rapid.Int64().AsAny(),
			rapid.Float32().AsAny(), rapid.Float64().AsAny(), rapid.Bool().AsAny(), rapid.String().AsAny(),
			rapid.SliceOf(rapid.Byte()).AsAny(), rapid.SliceOf(rapid.Int32()).AsAny(), rapid.SliceOf(rapid.Float32()).AsAny(),
			rapid.SliceOf(rapid.Bool()).AsAny(), rapid.SliceOf(rapid.String()).AsAny(),
		)
		meta := []gguf.KV{{"general.alignment", uint32(1) << rapid.IntRange(0, 9).Draw(t, "log2 alignment")}}
		for _, key := range rapid.SliceOfDistinct(rapid.StringN(1, 20, -1), rapid.ID).Draw(t, "keys") {
			if key != "general.alignment" {
				meta = append(meta, gguf.KV{Key: key, Value: value.Draw(t, "value")})
			}
		}
		var tensors []gguf.TensorData
		for _, name := range rapid.SliceOfNDistinct(rapid.StringN(1, 20, -1), 0, 5, rapid.ID).Draw(t, "names") {
			typ := rapid.SampledFrom(types).Draw(t, "type")
			shape := rapid.SliceOfN(rapid.Int64Range(1, 3), 1, 4).Draw(t, "shape")
			shape[0] *= typ.BlockSize()
			size := typ.RowSize(shape[0])
			for _, d := range shape[1:] {
				size *= d
			}
			data := bytes.Repeat([]byte{rapid.Byte().Draw(t, "content")}, int(size))
			tensors = append(tensors, gguf.TensorData{Name: name, Type: typ, Shape: shape, Data: data})
		}

		var b bytes.Buffer
		if err := gguf.Write(&b, meta, tensors); err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Parse(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(pairs(f), meta); diff != "" {
			t.Errorf("metadata (-got +want):\n%s", diff)
		}
		var got []gguf.TensorData
		for _, tensor := range f.Tensors() {
			if tensor.Offset%f.Alignment() != 0 {
				t.Errorf("%s at byte %d, want a multiple of %d", tensor, tensor.Offset, f.Alignment())
			}
			got = append(got, gguf.TensorData{Name: tensor.Name, Type: tensor.Type, Shape: tensor.Shape, Data: f.Data(tensor)})
		}
		if diff := cmp.Diff(got, tensors); diff != "" {
			t.Errorf("tensors (-got +want):\n%s", diff)
		}
	})
}

func TestWriteRefusesWhatCannotBeRead(t *testing.T) {
	tests := []struct {
		name   string
		meta   gguf.KV
		tensor gguf.TensorData
		want   string
	}{
		{"int", gguf.KV{"k", 1}, gguf.TensorData{"w", gguf.I8, []int64{1}, []byte{1}}, `key "k": value of type int, want a sized integer`},
		{"nil", gguf.KV{"k", nil}, gguf.TensorData{"w", gguf.I8, []int64{1}, []byte{1}}, "value of type <nil>"},
		{"empty key", gguf.KV{"", uint8(1)}, gguf.TensorData{"w", gguf.I8, []int64{1}, []byte{1}}, "empty key"},
		{"alignment", gguf.KV{"general.alignment", uint32(3)}, gguf.TensorData{"w", gguf.I8, []int64{1}, []byte{1}}, "general.alignment is uint32 3, want"},
		{"short data", gguf.KV{"k", true}, gguf.TensorData{"w", gguf.F32, []int64{2}, []byte{1}}, "1 bytes, want a name and 8 bytes for f32 [2]"},
		{"no name", gguf.KV{"k", true}, gguf.TensorData{"", gguf.I8, []int64{1}, []byte{1}}, "want a name"},
		{"unknown type", gguf.KV{"k", true}, gguf.TensorData{"w", 4, []int64{1}, []byte{1}}, "unknown tensor type 4"},
	}
	for _, test := range tests {
		err := gguf.Write(&bytes.Buffer{}, []gguf.KV{test.meta}, []gguf.TensorData{test.tensor})
		if got := errorText(err); !strings.Contains(got, test.want) {
			t.Errorf("%s: got %s, want %q in it", test.name, got, test.want)
		}
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestWriteReportsTheWritersError(t *testing.T) {
	want := errors.New("disk full")
	if err := gguf.Write(brokenWriter{want}, tinyMeta, nil); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}
