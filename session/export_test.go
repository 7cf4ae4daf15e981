package session

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/tier"
)

// exportable is the header of sessions with two layers of different shapes.
func exportable(t *testing.T, k, v string, tokens int) Header {
	t.Helper()
	h := header(tokens)
	h.TypeK, h.TypeV = "f32", "f32"
	h.Layers = []tier.Layout{{Heads: 2, KeyBytes: 4 * 64, ValueBytes: 4 * 32}, {Heads: 1, KeyBytes: 4 * 32, ValueBytes: 4 * 64}}
	h, err := h.In(k, v)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// exportableBlock is a block of finite values of the header's types. Behind the last token there are
// zeros.
func exportableBlock(h Header, layer, b, seed int) []byte {
	rows := make([]byte, h.Layers[layer].RowBytes()*BlockCells)
	parts, err := h.parts(layer, false)
	if err != nil {
		panic(err)
	}
	for n, p := range parts {
		part, stride := h.Layers[layer].Part(rows, BlockCells, tier.Part(n), 0)
		for head := range p.heads {
			for cell := range min(BlockCells, len(h.Tokens)-b*BlockCells) {
				values := make([]float32, p.dim)
				for i := range values {
					values[i] = float32((i*7+cell*3+head*5+b*11+layer*13+n*17+seed*19)%251-125) / 16
				}
				size := p.kept.size(p.dim)
				p.kept.encode(part[int64(head)*stride+int64(cell*size):][:size], values)
			}
		}
	}
	return rows
}

// export exports sequences, one a seed.
func export(path string, h Header, seeds int, o ExportOptions, s system) (err error) {
	e, err := createExport(path, h, slices.Repeat([][]int32{h.Tokens}, seeds), o, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	for seed := range seeds {
		for l := range h.Layers {
			for b := range e.Blocks() {
				if err := e.Write(seed, l, b, exportableBlock(h, l, b, seed)); err != nil {
					return err
				}
			}
		}
	}
	return e.Commit()
}

// comesBack reports whether an import gives the blocks of a seed.
func comesBack(i *Import, h Header, seed int) error {
	for l := range h.Layers {
		for b := range (len(h.Tokens) + BlockCells - 1) / BlockCells {
			rows := bytes.Repeat([]byte{0xff}, int(h.Layers[l].RowBytes()*BlockCells))
			if err := i.Read(seed, l, b, rows); err != nil {
				return err
			}
			if !bytes.Equal(rows, exportableBlock(h, l, b, seed)) {
				return fmt.Errorf("layer %d, block %d: other rows", l, b)
			}
		}
	}
	return nil
}

func openImport(t *testing.T, path string, h Header, o ImportOptions) *Import {
	t.Helper()
	i, err := OpenImport(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := i.For(h, o); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestExportedKVComeBackBitForBit(t *testing.T) {
	for _, types := range [][2]string{{"f32", "f32"}, {"f16", "f16"}, {"bf16", "bf16"}, {"f16", "f32"}} {
		for _, isInterleaved := range []bool{false, true} {
			for _, tokens := range []int{1, 256, 300} {
				path, h := filepath.Join(t.TempDir(), "x"), exportable(t, types[0], types[1], tokens)
				h.RoPE, h.Attached = "yarn", json.RawMessage(`{"said":"\"hello\""}`)
				if err := export(path, h, 2, ExportOptions{Interleaved: isInterleaved}, operatingSystem()); err != nil {
					t.Fatal(err)
				}
				i := openImport(t, path, h, ImportOptions{Interleaved: isInterleaved})
				want := h
				want.Tokens = nil
				if diff := cmp.Diff(i.Header(), want); diff != "" {
					t.Errorf("header (-got +want):\n%s", diff)
				}
				for row := range 2 {
					if err := comesBack(i, h, row); err != nil || !slices.Equal(i.Tokens(row), h.Tokens) {
						t.Errorf("%v, %d tokens, row %d: %v", types, tokens, row, err)
					}
				}
				if i.Batch() != 2 {
					t.Errorf("a batch of %d; want 2", i.Batch())
				}
			}
		}
	}
}

// A tensor has the values (batch, heads, tokens, dim), and keys in the order in which RoPE turns halves.
func TestExportHasTheLegacyLayout(t *testing.T) {
	const tokens = 300
	path, h := filepath.Join(t.TempDir(), "x"), exportable(t, "f16", "f32", tokens)
	if err := export(path, h, 2, ExportOptions{Interleaved: true}, operatingSystem()); err != nil {
		t.Fatal(err)
	}
	file, size, err := openRegular(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	metadata, tensors, err := readTensors(file, size)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(metadata, map[string]string{"format": "pt", "architecture": "llama", "weights": "0123"}); diff != "" {
		t.Errorf("metadata (-got +want):\n%s", diff)
	}
	for name, want := range map[string]tensor{
		"past_key_values.0.key":   {dtype: "F16", shape: []int64{2, 2, tokens, 64}},
		"past_key_values.0.value": {dtype: "F32", shape: []int64{2, 2, tokens, 32}},
		"past_key_values.1.key":   {dtype: "F16", shape: []int64{2, 1, tokens, 32}},
		"past_key_values.1.value": {dtype: "F32", shape: []int64{2, 1, tokens, 64}},
		"input_ids":               {dtype: "I64", shape: []int64{2, tokens}},
	} {
		if got := tensors[name]; got.dtype != want.dtype || !slices.Equal(got.shape, want.shape) {
			t.Errorf("%s: %s %v; want %s %v", name, got.dtype, got.shape, want.dtype, want.shape)
		}
	}
	const row, head, token = 1, 1, 270
	values := make([]byte, 2*64)
	if _, err := file.ReadAt(values, tensors["past_key_values.0.key"].at+((row*2+head)*tokens+token)*int64(len(values))); err != nil {
		t.Fatal(err)
	}
	rows := exportableBlock(h, 0, 1, row)
	key := rows[(head*BlockCells+token-BlockCells)*len(values):]
	for i := range 32 { // the pairs of the model's file: first halves, then second ones
		if !bytes.Equal(values[2*i:2*i+2], key[4*i:4*i+2]) || !bytes.Equal(values[2*i+64:2*i+66], key[4*i+2:4*i+4]) {
			t.Fatalf("pair %d is not where Hugging Face has it", i)
		}
	}
}

func TestQuantisedKVAreExportedAsTheirValues(t *testing.T) {
	for _, name := range []string{"q8_0", "q4_0"} {
		path, h := filepath.Join(t.TempDir(), "x"), exportable(t, name, name, 300)
		if err := export(path, h, 1, ExportOptions{}, operatingSystem()); err != nil {
			t.Fatal(err)
		}
		i, err := OpenImport(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := i.Header(); got.TypeK != "f32" || got.TypeV != "f32" {
			t.Errorf("exported %s as %s and %s; want f32", name, got.TypeK, got.TypeV)
		}
		if err := i.For(h, ImportOptions{}); err == nil || !strings.Contains(err.Error(), "converted only where that is asked for") {
			t.Errorf("f32 into %s: %v", name, err)
		}
		if err := errors.Join(i.For(h, ImportOptions{Convert: true}), comesBack(i, h, 0)); err != nil { // these values are multiples of their scale
			t.Errorf("%s: %v", name, err)
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
		if err := export(path, h, 1, ExportOptions{Type: name}, operatingSystem()); err == nil || !strings.Contains(err.Error(), "export f32, f16 or bf16") {
			t.Errorf("exported as %s: %v", name, err)
		}
	}
}

func TestEveryFailedCallOfAnExportLeavesTheOldFile(t *testing.T) {
	h := exportable(t, "f16", "f16", 300)
	for succeed := 0; ; succeed++ {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := export(path, h, 1, ExportOptions{}, faulty(succeed, syscall.ENOSPC))
		if err == nil {
			if succeed < 10 {
				t.Fatalf("an export of %d calls: want more", succeed)
			}
			break
		}
		text, _ := os.ReadFile(path)
		if !errors.Is(err, syscall.ENOSPC) || string(text) != "old" && comesBack(openImport(t, path, h, ImportOptions{}), h, 0) != nil {
			t.Errorf("call %d: %v, and a file of %d bytes", succeed, err, len(text))
		}
		if left, _ := filepath.Glob(path + "*"); len(left) != 1 {
			t.Errorf("call %d: files %v; want one", succeed, left)
		}
	}
}

func TestWhatCannotBeExportedIsAnError(t *testing.T) {
	h, dir := exportable(t, "f32", "f32", 3), t.TempDir()
	for _, tt := range []struct {
		tokens [][]int32
		change func(*Header)
		want   string
	}{
		{nil, nil, "no tokens"},
		{[][]int32{{}}, nil, "no tokens"},
		{[][]int32{{1, 2}, {1}}, nil, "sequence 1 has 1 tokens and the first one 2"},
		{[][]int32{{1}}, func(h *Header) { h.TypeK = "f8" }, "unknown K/V type"},
		{[][]int32{{1}}, func(h *Header) { h.TypeK = "q8_0"; h.Layers[1].KeyBytes = 33 }, "not made of q8_0"},
		{[][]int32{{1}}, func(h *Header) { h.Layers[0].KeyBytes = 12 }, "keys of 3 values have no pairs"},
	} {
		h := h
		h.Layers = slices.Clone(h.Layers)
		if tt.change != nil {
			tt.change(&h)
		}
		if _, err := CreateExport(filepath.Join(dir, "x"), h, tt.tokens, ExportOptions{Interleaved: true}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v; want %q", err, tt.want)
		}
	}
	e, err := CreateExport(filepath.Join(dir, "x"), h, [][]int32{h.Tokens}, ExportOptions{Type: "f16"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Write(0, 0, 0, nil); err == nil || !strings.Contains(err.Error(), "0 bytes for a block of layer 0") {
		t.Errorf("no rows: %v", err)
	}
	large := exportableBlock(h, 0, 0, 0)
	named(t, "f32").encode(large, []float32{1e6})
	if err := e.Write(0, 0, 0, large); err == nil || !strings.Contains(err.Error(), "layer 0 has a key that is too large for f16") {
		t.Errorf("1e6 as f16: %v", err)
	}
	if err := e.Commit(); err == nil || !strings.Contains(err.Error(), "block 0 of layer 0 was not exported") {
		t.Errorf("nothing written: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// byPython was written by safetensors 0.8.0: keys 0 to 7 and values 0 to -7 in F16, of the shape
// (1, 2, 2, 2), and the ids 7 and 300.
const byPython = "6AAAAAAAAAB7ImlucHV0X2lkcyI6eyJkdHlwZSI6Ikk2NCIsInNoYXBlIjpbMSwyXSwiZGF0YV9vZmZzZXRzIjpbMCwxNl19LCJwYXN0X2tleV92" +
	"YWx1ZXMuMC5rZXkiOnsiZHR5cGUiOiJGMTYiLCJzaGFwZSI6WzEsMiwyLDJdLCJkYXRhX29mZnNldHMiOlsxNiwzMl19LCJwYXN0X2tleV92YWx1ZXMuMC52YWx1ZSI6" +
	"eyJkdHlwZSI6IkYxNiIsInNoYXBlIjpbMSwyLDIsMl0sImRhdGFfb2Zmc2V0cyI6WzMyLDQ4XX19ICAgBwAAAAAAAAAsAQAAAAAAAAAAADwAQABCAEQARQBGAEcAgAC8" +
	"AMAAwgDEAMUAxgDH"

func TestFilesOfThePythonLibraryAreRead(t *testing.T) {
	whole, err := base64.StdEncoding.DecodeString(byPython)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	h := Header{Architecture: "llama", Weights: "01", TypeK: "f32", TypeV: "f32", Layers: []tier.Layout{{Heads: 2, KeyBytes: 8, ValueBytes: 8}}}
	i := openImport(t, path, h, ImportOptions{Convert: true, Vocab: 301})
	if got := i.Tokens(0); !slices.Equal(got, []int32{7, 300}) {
		t.Errorf("ids %v", got)
	}
	rows, values := make([]byte, h.Layers[0].RowBytes()*BlockCells), make([]float32, 4)
	if err := i.Read(0, 0, 0, rows); err != nil {
		t.Fatal(err)
	}
	decodeF32(values, rows[8*BlockCells:]) // the second head
	if !slices.Equal(values, []float32{4, 5, 6, 7}) {
		t.Errorf("keys of the second head: %v", values)
	}
	to := filepath.Join(t.TempDir(), "s")
	if err := i.Save(0, to); err != nil {
		t.Fatal(err)
	}
	f, err := Open(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Verify(), f.Close()); err != nil || !slices.Equal(f.Header().Tokens, []int32{7, 300}) {
		t.Errorf("%v, tokens %v", err, f.Header().Tokens)
	}
	k, v, err := func() (string, string, error) {
		f, err := Open(to)
		if err != nil {
			return "", "", err
		}
		defer func() { _ = f.Close() }()
		return f.Export(path, ExportOptions{Type: "f16"})
	}()
	if err != nil || k != "f16" || v != "f16" {
		t.Fatalf("exported again as %s and %s: %v", k, v, err)
	}
	again, err := os.ReadFile(path)
	if err != nil || !bytes.HasSuffix(again, whole[len(whole)-48:]) {
		t.Errorf("exported again: %v, and other values", err)
	}
}

// tensorsFile returns a safetensors file of a header and bytes behind it.
func tensorsFile(text string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(b, text...), make([]byte, data)...)
}

func TestHostileTensorsAreErrors(t *testing.T) {
	describe := func(name, dtype, shape string, from, to int) string {
		return fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, dtype, shape, from, to)
	}
	ids := describe("input_ids", "I64", "[1,2]", 0, 16)
	key, value := describe("past_key_values.0.key", "F32", "[1,1,2,2]", 16, 32), describe("past_key_values.0.value", "F32", "[1,1,2,2]", 32, 48)
	join := func(members ...string) string { return "{" + strings.Join(members, ",") + "}" }
	huge := binary.LittleEndian.AppendUint64(nil, 1<<62)
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "the file has 0 bytes"},
		{"text", []byte("Why is the sky blue?"), "its header would have"},
		{"huge header", huge, "its header would have 4611686018427387904 bytes, and"},
		{"long header", append(binary.LittleEndian.AppendUint64(nil, 100), "{}"...), "its header would have 100 bytes in a file of 10"},
		{"no object", tensorsFile("[]", 0), "not a JSON object"},
		{"broken", tensorsFile(`{"a`, 0), "unexpected EOF"},
		{"no end", tensorsFile(join(ids)[:20], 16), "its header"},
		{"two objects", tensorsFile(join(ids)+"{}", 16), "something follows"},
		{"twice", tensorsFile(join(ids, ids), 16), `"input_ids" is there twice`},
		{"a number for a tensor", tensorsFile(`{"a":1}`, 0), `tensor "a"`},
		{"metadata that are no strings", tensorsFile(`{"__metadata__":{"a":1}}`, 0), "__metadata__"},
		{"unknown type", tensorsFile(join(describe("a", "F12", "[1]", 0, 4)), 4), `type "F12"`},
		{"negative shape", tensorsFile(join(describe("a", "F32", "[-1,-1]", 0, 4)), 4), "shape [-1 -1]"},
		{"overflow", tensorsFile(join(describe("a", "F32", "[4611686018427387904,4]", 0, 0)), 0), "shape [4611686018427387904 4]"},
		{"lying size", tensorsFile(join(describe("a", "F32", "[2]", 0, 4)), 4), "has 4 bytes: want 8"},
		{"lying offset", tensorsFile(join(describe("a", "F32", "[1]", 4, 8)), 8), "begins at byte 4: want 0"},
		{"backwards", tensorsFile(join(describe("a", "F32", "[1]", 4, 0)), 4), "has -4 bytes"},
		{"overlap", tensorsFile(join(describe("a", "F32", "[1]", 0, 4), describe("b", "F32", "[1]", 2, 6)), 8), `"b" begins at byte 2: want 4`},
		{"truncated", tensorsFile(join(ids, key, value), 47), "its tensors have 48 bytes, and 47 follow"},
		{"more", tensorsFile(join(ids, key, value), 49), "its tensors have 48 bytes, and 49 follow"},
		{"no ids", tensorsFile(join(describe("past_key_values.0.key", "F32", "[1,1,2,2]", 0, 16)), 16), `it has no tensor "input_ids": its 1 tensors are "past_key_values.0.key"; a session needs the ids`},
		{"no layers", tensorsFile(join(ids), 16), `no tensor "past_key_values.0.key"`},
		{"no value", tensorsFile(join(ids, key), 32), `no tensor "past_key_values.0.value"`},
		{"another tensor", tensorsFile(join(ids, key, value, describe("mask", "F32", "[1]", 48, 52)), 52), "it has 4 tensors"},
		{"three dimensions", tensorsFile(join(ids, describe("past_key_values.0.key", "F32", "[1,2,2]", 16, 32), value), 48), "want (batch, KV heads, tokens, dim)"},
		{"no tokens", tensorsFile(join(describe("input_ids", "I64", "[1,0]", 0, 0), describe("past_key_values.0.key", "F32", "[1,1,0,2]", 0, 0), describe("past_key_values.0.value", "F32", "[1,1,0,2]", 0, 0)), 0), "shape [1 1 0 2]"},
		{"integers", tensorsFile(join(ids, describe("past_key_values.0.key", "I32", "[1,1,2,2]", 16, 32), value), 48), "of type I32: want F32, F16 or BF16"},
		{"other tokens", tensorsFile(join(ids, key, describe("past_key_values.0.value", "F32", "[1,1,4,1]", 32, 48)), 48), "want a batch of 1 and 2 tokens"},
		{"other heads", tensorsFile(join(ids, key, describe("past_key_values.0.value", "F32", "[1,2,2,1]", 32, 48)), 48), "keys of 1 heads and values of 2"},
		{"fewer ids", tensorsFile(join(describe("input_ids", "I64", "[1,1]", 0, 8), describe("past_key_values.0.key", "F32", "[1,1,2,2]", 8, 24), describe("past_key_values.0.value", "F32", "[1,1,2,2]", 24, 40)), 40), "want I64 and [1 2]"},
		{"attached", tensorsFile(join(`"__metadata__":{"attached":"{"}`, ids, key, value), 48), "no JSON"},
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		if err := os.WriteFile(path, tt.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenImport(path); !errors.Is(err, ErrTensors) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want %v with %q and the file's name", tt.name, err, ErrTensors, tt.want)
		}
	}
	if _, err := OpenImport(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestImportsOfOtherModelsAreRefused(t *testing.T) {
	path, h := filepath.Join(t.TempDir(), "x"), exportable(t, "f16", "f16", 3)
	if err := export(path, h, 1, ExportOptions{}, operatingSystem()); err != nil {
		t.Fatal(err)
	}
	i, err := OpenImport(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = i.Close() }()
	for _, tt := range []struct {
		change func(*Header)
		vocab  int
		want   string
	}{
		{func(h *Header) { h.Architecture = "qwen2" }, 0, "its architecture is llama, and the model's qwen2"},
		{func(h *Header) { h.Weights = "4567" }, 0, "its weights' digest is 0123"},
		{func(h *Header) { h.Layers = h.Layers[:1] }, 0, "it has 2 layers, and the model 1"},
		{func(h *Header) { h.Layers[1].Heads = 3 }, 0, "layer 1 has keys of 1 heads and 32 values, and the model's have 3 and 32"},
		{func(h *Header) { h.Layers[1].ValueBytes = 64 }, 0, "layer 1 has values of 1 heads and 64 values, and the model's have 1 and 32"},
		{func(*Header) {}, 14, "token 2 of row 0 has the id 14, and the model has 14"},
	} {
		want := h
		want.Layers = slices.Clone(h.Layers)
		tt.change(&want)
		if err := i.For(want, ImportOptions{Vocab: tt.vocab}); !errors.Is(err, ErrModel) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v; want %v with %q", err, ErrModel, tt.want)
		}
	}
}

func TestValuesThatAreNotFiniteAreNotImported(t *testing.T) {
	path, h := filepath.Join(t.TempDir(), "x"), exportable(t, "f32", "f32", 300)
	if err := export(path, h, 1, ExportOptions{}, operatingSystem()); err != nil {
		t.Fatal(err)
	}
	i := openImport(t, path, h, ImportOptions{})
	for _, bits := range []uint32{0x7fc00000, 0xff800000} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := i.parts[0][1].place(0, 1, 270) + 4*5
		binary.LittleEndian.PutUint32(whole[at:], bits)
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := i.Save(0, filepath.Join(t.TempDir(), "s")); !errors.Is(err, ErrTensors) || !strings.Contains(err.Error(), "layer 0: the value of token 270 in head 1") {
			t.Errorf("%#x: %v", bits, err)
		}
	}
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if err := i.Save(0, filepath.Join(t.TempDir(), "s")); !errors.Is(err, ErrTensors) || !strings.Contains(err.Error(), "has become shorter") {
		t.Errorf("truncated: %v", err)
	}
}

type inMemory struct{ io.ReaderAt }

func (inMemory) Close() error { return nil }

// FuzzOpenImport reads anything without taking much memory or time, and without a panic.
func FuzzOpenImport(f *testing.F) {
	whole, err := base64.StdEncoding.DecodeString(byPython)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:100])
	f.Add(tensorsFile("{}", 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := newImport("x", inMemory{bytes.NewReader(b)}, int64(len(b)))
		if err != nil {
			return
		}
		h, err := i.Header().In("f16", "f32")
		if err != nil {
			t.Fatal(err)
		}
		for _, isInterleaved := range []bool{false, true} {
			if err := i.For(h, ImportOptions{Convert: true, Interleaved: isInterleaved}); err != nil {
				continue
			}
			blocks := (len(i.Tokens(0)) + BlockCells - 1) / BlockCells
			_ = eachBlock(h, min(blocks, 2), func(layer, block int, rows []byte) error {
				return i.Read(0, layer, block, rows) // values that are not finite are an error
			})
		}
	})
}

// The layout has no place for states, without which nobody could go on.
func TestModelsWithStatesAreNeitherExportedNorImported(t *testing.T) {
	dir := t.TempDir()
	path, out := filepath.Join(dir, "s"), filepath.Join(dir, "out")
	if err := save(path, hybrid(9), 1, operatingSystem()); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, _, err := f.Export(out, ExportOptions{}); err == nil || !strings.Contains(err.Error(), "the model has recurrent layers") {
		t.Errorf("exported: %v", err)
	}
	if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is left: %v", err)
	}
	whole, err := base64.StdEncoding.DecodeString(byPython)
	if err != nil {
		t.Fatal(err)
	}
	i, err := newImport("x", inMemory{bytes.NewReader(whole)}, int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	want := i.Header()
	want.States = []int64{12}
	if err := i.For(want, ImportOptions{}); err == nil || !strings.Contains(err.Error(), "the model has recurrent layers") {
		t.Errorf("imported: %v", err)
	}
}
