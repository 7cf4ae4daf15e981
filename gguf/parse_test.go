package gguf_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/gguf"
)

// header builds the bytes of a file piece by piece, right or wrong.
type header []byte

func (h header) u32(v uint32) header      { return binary.LittleEndian.AppendUint32(h, v) }
func (h header) u64(v uint64) header      { return binary.LittleEndian.AppendUint64(h, v) }
func (h header) string(s string) header   { return append(h.u64(uint64(len(s))), s...) }
func (h header) zeros(n int) header       { return append(h, make([]byte, n)...) }
func (h header) pairU32(v uint32) header  { return h.u32(4).u32(v) }
func (h header) pad(alignment int) header { return h.zeros(-len(h) & (alignment - 1)) }

func (h header) magic(version uint32, tensors, pairs uint64) header {
	return append(h, "GGUF"...).u32(version).u64(tensors).u64(pairs)
}

func (h header) tensor(name string, t gguf.Type, offset uint64, shape ...uint64) header {
	h = h.string(name).u32(uint32(len(shape)))
	for _, d := range shape {
		h = h.u64(d)
	}
	return h.u32(uint32(t)).u64(offset)
}

// one is a file with a single tensor and data bytes after the header.
func one(data int, t gguf.Type, offset uint64, shape ...uint64) []byte {
	return header{}.magic(3, 1, 0).tensor("w", t, offset, shape...).pad(32).zeros(data)
}

// pair is a file with a single metadata pair, under the key k.
func pair(value header) []byte {
	return append(header{}.magic(3, 0, 1).string("k"), value...)
}

func TestParseNamesTheFieldThatIsWrong(t *testing.T) {
	const huge = 1 << 60
	tests := []struct {
		name  string
		data  []byte
		field string
		text  string // within the error
	}{
		{"version 1", header{}.magic(1, 0, 0), "version", "version 1, want 2 or 3; convert"},
		{"version 4", header{}.magic(4, 0, 0), "version", "version 4, want 2 or 3"},
		{"version 0", header{}.magic(0, 0, 0), "version", "version 0, want 2 or 3"},
		{"big-endian", header{}.magic(3<<24, 0, 0), "version", "big-endian file (version 3), want little-endian"},

		{"many tensors", header{}.magic(3, huge, 0), "tensor count", "1152921504606846976 of at least 33 bytes each, 8 bytes are left"},
		{"many pairs", header{}.magic(3, 0, huge), "metadata count", "of at least 14 bytes each, 0 bytes are left"},
		{"most tensors", header{}.magic(3, math.MaxUint64, 0), "tensor count", "8 bytes are left"},
		{"more pairs than present", header{}.magic(3, 0, 2).string("key").pairU32(1).zeros(10), "metadata pair 1", ""},

		{"long key", header{}.magic(3, 0, 1).u64(huge).zeros(64), "metadata pair 0", "key needs 1152921504606846976 bytes, 64 are left"},
		{"longest key", header{}.magic(3, 0, 1).u64(math.MaxUint64).zeros(64), "metadata pair 0", "64 are left"},
		{"empty key", header{}.magic(3, 0, 1).string("").pairU32(1), "metadata pair 0", "empty key"},
		{"duplicate key", header{}.magic(3, 0, 2).string("k").pairU32(1).string("k").pairU32(1), `key "k"`, "pairs 0 and 1 have the same key"},
		{"unknown kind", pair(header{}.u32(13).zeros(8)), `key "k"`, "unknown kind 13, want 0 to 12"},
		{"long string", pair(header{}.u32(8).u64(huge)), `key "k"`, "string needs 1152921504606846976 bytes, 0 are left"},
		{"bool of 2", pair(header{7, 0, 0, 0, 2}), `key "k"`, "bool 0 is 2, want 0 or 1"},
		{"array of arrays", pair(header{}.u32(9).u32(9).u64(1).u32(4).u64(0)), `key "k"`, "array of arrays"},
		{"array of unknown kind", pair(header{}.u32(9).u32(99).u64(1)), `key "k"`, "array of unknown kind 99"},
		{"long array", pair(header{}.u32(9).u32(4).u64(huge)), `key "k"`, "array of 1152921504606846976 uint32, 0 bytes are left"},
		{"array whose bytes overflow", pair(header{}.u32(9).u32(12).u64(1 << 61)), `key "k"`, "array of 2305843009213693952 float64"},
		{"long array of strings", pair(header{}.u32(9).u32(8).u64(huge).zeros(80)), `key "k"`, "array of 1152921504606846976 string, 80 bytes are left"},
		{"long string in an array", pair(header{}.u32(9).u32(8).u64(2).string("a").u64(huge)), `key "k"`, "element 1: string needs"},

		{"alignment of another kind", header{}.magic(3, 0, 1).string("general.alignment").u32(10).u64(32), `key "general.alignment"`, "is uint64, want uint32"},
		{"alignment 0", header{}.magic(3, 0, 1).string("general.alignment").pairU32(0), `key "general.alignment"`, "alignment 0, want a power of two"},
		{"alignment 48", header{}.magic(3, 0, 1).string("general.alignment").pairU32(48), `key "general.alignment"`, "alignment 48, want a power of two"},
		{"alignment larger than the file", header{}.magic(3, 1, 1).string("general.alignment").pairU32(1<<31).tensor("w", gguf.F32, 0, 1).zeros(64), `tensor "w"`, "past end of file"},

		{"no dimensions", one(4, gguf.F32, 0), `tensor "w"`, "0 dimensions, want 1 to 4"},
		{"five dimensions", one(4, gguf.F32, 0, 1, 1, 1, 1, 1), `tensor "w"`, "5 dimensions, want 1 to 4"},
		{"many dimensions", header{}.magic(3, 1, 0).string("w").u32(math.MaxUint32).zeros(64), `tensor "w"`, "4294967295 dimensions, want 1 to 4"},
		{"dimension 0", one(4, gguf.F32, 0, 4, 0), `tensor "w"`, "dimension 1 is 0, want 1 or more"},
		{"shape overflows to 0", one(4, gguf.F32, 0, 1<<32, 1<<32), `tensor "w"`, "more than 2^55 elements"},
		{"shape overflows to 1", one(4, gguf.F32, 0, 3, 0xaaaaaaaaaaaaaaab), `tensor "w"`, "more than 2^55 elements"},
		{"bytes overflow", one(4, gguf.F64, 0, 1<<61), `tensor "w"`, "more than 2^55 elements"},
		{"unknown type", one(4, 43, 0, 1), `tensor "w"`, "unknown tensor type 43"},
		{"removed type", one(4, 4, 0, 1), `tensor "w"`, "unknown tensor type 4, which Ollama writes"},
		{"type past all others", one(4, math.MaxUint32, 0, 1), `tensor "w"`, "unknown tensor type 4294967295"},
		{"part of a block", one(64, gguf.Q4_0, 0, 33), `tensor "w"`, "rows of 33 elements, want a multiple of 32 for type q4_0"},
		{"blocks across rows", one(64, gguf.Q4_0, 0, 16, 2), `tensor "w"`, "rows of 16 elements, want a multiple of 32"},
		{"unaligned offset", one(64, gguf.F32, 4, 1), `tensor "w"`, "offset 4, want a multiple of the alignment, 32"},
		{"offset past the end", one(64, gguf.F32, 128, 1), `tensor "w"`, "offset 128 past end of file (size 128)"},
		{"offset overflows", one(64, gguf.F32, math.MaxUint64-31, 1), `tensor "w"`, "want a multiple"},
		{"largest aligned offset", one(64, gguf.F32, math.MaxInt64-31, 1), `tensor "w"`, "past end of file"},
		{"tensor past the end", one(64, gguf.F32, 32, 9), `tensor "w"`, "bytes 96 to 132 past end of file (size 128)"},
		{"long name", header{}.magic(3, 1, 0).u64(huge).zeros(64), "tensor 0", "name needs 1152921504606846976 bytes"},
		{"empty name", header{}.magic(3, 1, 0).tensor("", gguf.F32, 0, 1).zeros(64), "tensor 0", "empty name"},
		{
			"duplicate name", header{}.magic(3, 2, 0).tensor("w", gguf.F32, 0, 1).tensor("w", gguf.F32, 32, 1).zeros(128),
			`tensor "w"`, "tensors 0 and 1 have the same name",
		},
		{
			"overlap", header{}.magic(3, 2, 0).tensor("a", gguf.F32, 32, 8).tensor("b", gguf.F32, 0, 9).pad(32).zeros(128),
			`tensor "a"`, `starts at byte 128, inside tensor "b", which ends at byte 132`,
		},
		{
			"same place", header{}.magic(3, 2, 0).tensor("a", gguf.F32, 0, 1).tensor("b", gguf.F32, 0, 1).pad(32).zeros(128),
			"tensor", "inside tensor",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var err error
			got := allocated(func() { _, err = gguf.Parse(test.data) })
			wantFormatError(t, err, test.field, test.text)
			if got > 64<<10 {
				t.Errorf("allocated %d bytes for a file of %d, want at most 64 KiB", got, len(test.data))
			}
		})
	}
}

// wantFormatError checks an error from a file: its field begins as said and its text contains the
// text.
func wantFormatError(t *testing.T, err error, field, text string) {
	t.Helper()
	e, ok := errors.AsType[*gguf.FormatError](err)
	if !ok {
		t.Fatalf("error %v, want a *FormatError", err)
	}
	if !strings.HasPrefix(e.Field, field) || !strings.Contains(err.Error(), text) {
		t.Errorf("got  field %s, error %v\nwant field %s, error with %q", e.Field, err, field, text)
	}
}

func TestErrorsSayWhereTheWrongPartStarts(t *testing.T) {
	h := header{}.magic(3, 1, 2).string("first").pairU32(1)
	key := int64(len(h))
	bad := h.string("general.alignment").pairU32(7).zeros(64)
	good := header{}.magic(3, 2, 0).tensor("a", gguf.F32, 0, 1)
	tensor := int64(len(good))
	overlap := good.tensor("b", gguf.F32, 0, 1).pad(32).zeros(4)
	for _, test := range []struct {
		data []byte
		want int64
	}{{bad, key}, {overlap, tensor}, {[]byte("GGUF\x09\x00\x00\x00"), 4}} {
		_, err := gguf.Parse(test.data)
		if e, ok := errors.AsType[*gguf.FormatError](err); !ok || e.Offset != test.want {
			t.Errorf("error %v, want one at byte %d", err, test.want)
		}
	}
}

func TestParseSaysWhatAFileIsInPlaceOfGGUF(t *testing.T) {
	tests := []struct{ head, want string }{
		{"version https://git-lfs.github.com/spec/v1\noid sha256:", "git lfs pull"},
		{"PK\x03\x04....", "zip"},
		{"\x80\x02}q\x00X", "pickle"},
		{"<html><body>", "web page"},
		{"\x1f\x8b\x08\x00", "gzip"},
		{"tjgg\x03\x00\x00\x00", "before GGUF"},
		{"FUGG\x03\x00\x00\x00", "byte-swapped"},
		{`{"model_type":"llama"}`, "JSON"},
		{"\x48\x12\x00\x00\x00\x00\x00\x00{\"__metadata__\"", "safetensors"},
		{strings.Repeat("\x00", 64), "did not finish"},
		{"\x7fELF\x02", `starts with "\x7fELF", want "GGUF"`},
		{"x", `starts with "x", want "GGUF"`},
	}
	for _, test := range tests {
		_, err := gguf.Parse([]byte(test.head))
		if got := errorText(err); !errors.Is(err, gguf.ErrNotGGUF) || !strings.Contains(got, test.want) {
			t.Errorf("%q: got  %s\nwant ErrNotGGUF with %q", test.head, got, test.want)
		}
	}
}

func TestAFileCutAnywhereIsTruncated(t *testing.T) {
	whole := tiny(t)
	for n := range whole {
		_, err := gguf.Parse(whole[:n])
		e, ok := errors.AsType[*gguf.FormatError](err)
		if !errors.Is(err, gguf.ErrTruncated) || !ok || e.Field == "" {
			t.Errorf("first %d of %d bytes: %v, want ErrTruncated in a field", n, len(whole), err)
		}
	}
	if _, err := gguf.Parse(whole); err != nil {
		t.Errorf("all %d bytes: %v", len(whole), err)
	}
}

func TestAFlippedByteNeverReachesOutsideTheFile(t *testing.T) {
	whole := tiny(t)
	for i := range whole {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			data := []byte(string(whole))
			data[i] ^= flip
			if f, err := gguf.Parse(data); err == nil {
				readAll(t, f)
			}
		}
	}
}

func TestVersion2IsReadLikeVersion3(t *testing.T) {
	data := tiny(t)
	v3, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint32(data[4:], 2)
	v2, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if v2.Version() != 2 {
		t.Errorf("version %d, want 2", v2.Version())
	}
	if diff := cmp.Diff(v2.Tensors(), v3.Tensors()); diff != "" {
		t.Errorf("tensors of version 2 (-got, +those of version 3):\n%s", diff)
	}
}

func TestNamesInErrorsAreQuotedAndShort(t *testing.T) {
	_, err := gguf.Parse(header{}.magic(3, 0, 1).string("\x1b[2J" + strings.Repeat("x", 100_000)).u32(13))
	got := errorText(err)
	if len(got) > 200 || strings.Contains(got, "\x1b") || !strings.Contains(got, "(100004 bytes)") {
		t.Errorf("error of %d bytes: %.300q, want at most 200, without control characters", len(got), got)
	}
}

// vocabulary is a file with n tokens, scores and types, as in a large model.
func vocabulary(tb testing.TB, n int) []byte {
	tb.Helper()
	tokens, scores, types := make([]string, n), make([]float32, n), make([]int32, n)
	for i := range n {
		tokens[i], scores[i], types[i] = fmt.Sprintf("token%d", i), float32(-i), int32(i%6)
	}
	return write(tb, []gguf.KV{{Key: "tokens", Value: tokens}, {Key: "scores", Value: scores}, {Key: "types", Value: types}}, nil)
}

func TestALargeVocabularyCostsFewAllocations(t *testing.T) {
	const n = 250_000
	data := vocabulary(t, n)
	var f *gguf.File
	var err error
	if got := testing.AllocsPerRun(3, func() { f, err = gguf.Parse(data) }); err != nil || got > 50 {
		t.Errorf("parsing: %g allocations, %v, want at most 50", got, err)
	}
	if got := allocated(func() { f, err = gguf.Parse(data) }); got > uint64(2*len(data)) {
		t.Errorf("parsing allocates %d bytes for a file of %d, want at most twice its size", got, len(data))
	}
	if got := testing.AllocsPerRun(3, func() { _, _ = f.Strings("tokens") }); got > 1 {
		t.Errorf("Strings: %g allocations, want 1", got)
	}
	tokens, _ := f.Strings("tokens")
	scores, _ := f.Floats("scores")
	types, _ := f.Ints("types")
	if tokens[n-1] != "token249999" || scores[n-1] != 1-n || types[n-1] != (n-1)%6 {
		t.Errorf("last token %q, score %g, type %d, want token249999, %d, %d", tokens[n-1], scores[n-1], types[n-1], 1-n, (n-1)%6)
	}
}

func TestManySmallEntriesCostASmallMultipleOfTheFile(t *testing.T) {
	const n = 50_000
	h := header{}.magic(3, n, n)
	for i := range n {
		h = append(h.string(fmt.Sprintf("k%05d", i)), 0, 0, 0, 0, 1)
	}
	for i := range n {
		h = h.tensor(fmt.Sprintf("t%05d", i), gguf.I8, uint64(32*i), 1)
	}
	data := h.pad(32).zeros(32 * n)
	var err error
	got := allocated(func() { _, err = gguf.Parse(data) })
	if err != nil {
		t.Fatal(err)
	}
	if most := 16 * len(data); got > uint64(most) {
		t.Errorf("allocated %d bytes in all for a file of %d, want at most %d", got, len(data), most)
	}
}

func BenchmarkParseVocabulary(b *testing.B) {
	data := vocabulary(b, 250_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		f, err := gguf.Parse(data)
		if err != nil {
			b.Fatal(err)
		}
		if tokens, err := f.Strings("tokens"); err != nil || len(tokens) != 250_000 {
			b.Fatalf("%d tokens", len(tokens))
		}
	}
}
