package gguf_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/gguf"
)

const tinyModel = "../testdata/models/tiny-gqa.gguf"

func open(t *testing.T, path string) *gguf.File {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestOpenReadsAModelMadeByAnotherWriter(t *testing.T) {
	f := open(t, tinyModel)

	if got, want := f.Architecture(), "llama"; got != want {
		t.Errorf("architecture %q, want %q", got, want)
	}
	if got, want := f.Version(), 3; got != want {
		t.Errorf("version %d, want %d", got, want)
	}
	if got, err := f.Uint("llama.block_count"); got != 5 || err != nil {
		t.Errorf("llama.block_count = %d, error %v, want 5 and none", got, err)
	}
	if got, err := f.Float("llama.rope.freq_base"); got != 10000 || err != nil {
		t.Errorf("llama.rope.freq_base = %g, error %v, want 10000 and none", got, err)
	}
	if got, err := f.Bool("tokenizer.ggml.add_bos_token"); got || err != nil {
		t.Errorf("tokenizer.ggml.add_bos_token = %t, error %v, want false and none", got, err)
	}
	merges, _ := f.Strings("tokenizer.ggml.merges")
	if diff := cmp.Diff(merges, []string{"Ġ t", "h e", "i n", "Ġ a", "r e"}); diff != "" {
		t.Errorf("merges (-got +want):\n%s", diff)
	}
	types, _ := f.Ints("tokenizer.ggml.token_type")
	if got, want := types[255:260], []int64{1, 3, 3, 3, 1}; !cmp.Equal(got, want) {
		t.Errorf("token types 255 to 259 are %d, want %d", got, want)
	}

	if got, want := len(f.Tensors()), 1+5*9+2; got != want {
		t.Fatalf("%d tensors, want %d", got, want)
	}
	got, ok := f.Tensor("blk.4.ffn_down.weight")
	if !ok {
		t.Fatal("no tensor blk.4.ffn_down.weight")
	}
	got.Offset = 0 // tested by the contents of another tensor below
	want := gguf.Tensor{Name: "blk.4.ffn_down.weight", Type: gguf.F32, Shape: []int64{128, 64}, Size: 4 * 128 * 64}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("tensor (-got +want):\n%s", diff)
	}

	norm, _ := f.Tensor("output_norm.weight")
	data := f.Data(norm)
	if got, want := len(data), 4*64; got != want {
		t.Fatalf("output_norm.weight has %d bytes, want %d", got, want)
	}
	for i := range 64 { // made as 1 + 0.2 r, with 0.2 r kept within ±0.6
		if x := math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])); x < 0.4 || x > 1.6 {
			t.Errorf("output_norm.weight[%d] = %g, want 0.4 to 1.6", i, x)
		}
	}
}

func TestEveryGoldenModelOpensAndItsTensorsFillTheFile(t *testing.T) {
	paths, err := filepath.Glob("../testdata/models/*.gguf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models in ../testdata/models: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f := open(t, path)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			// Writers put tensors one after another: any error in a type's size would open a gap or
			// an overlap.
			ts := f.Tensors()
			for i, tensor := range ts {
				end := info.Size()
				if i+1 < len(ts) {
					end = ts[i+1].Offset
				}
				if got := (tensor.Offset + tensor.Size + f.Alignment() - 1) / f.Alignment() * f.Alignment(); got != end {
					t.Errorf("%s ends at byte %d, want %d", tensor, got, end)
				}
			}
		})
	}
}

func TestMappingHoldsTensorsAtTheirOffsets(t *testing.T) {
	f := open(t, tinyModel)
	m := f.Mapping(0)
	if runtime.GOOS == "windows" {
		if m != nil {
			t.Errorf("a mapping of %d bytes, want none", len(m))
		}
		return
	}
	if at := uintptr(unsafe.Pointer(unsafe.SliceData(m))); at%uintptr(os.Getpagesize()) != 0 {
		t.Errorf("mapping at %#x, want the start of a page", at)
	}
	for _, tensor := range f.Tensors() {
		if !bytes.Equal(m[tensor.Offset:tensor.Offset+tensor.Size], f.Data(tensor)) {
			t.Errorf("%s: bytes at Offset differ from Data", tensor)
		}
	}
}

func TestMetadataOutlivesClose(t *testing.T) {
	f, err := gguf.Open(tinyModel)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := f.Strings("tokenizer.ggml.tokens")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close: %v, want nil", err)
	}
	after, err := f.Strings("tokenizer.ggml.tokens")
	if err != nil || len(before) != 264 || before[258] != "<pad>" || !cmp.Equal(before, after) {
		t.Errorf("tokens after Close: %d of them, want the 264 from before", len(after))
	}
	if f.Mapping(0) != nil {
		t.Error("a mapping after Close, want nil")
	}
}

func TestOpenNamesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := gguf.Open(filepath.Join(dir, "none.gguf")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v, want fs.ErrNotExist", err)
	}
	_, err := gguf.Open(dir)
	if got, want := errorText(err), "gguf: "+dir+" is a directory: want a GGUF file"; got != want {
		t.Errorf("directory: got  %s\nwant %s", got, want)
	}
}

func TestOpenPutsThePathIntoErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.gguf")
	if err := os.WriteFile(path, []byte("<!DOCTYPE html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := gguf.Open(path)
	want := "gguf: " + path + `: magic (at byte 0): not a GGUF file: it starts with "<!DO", want "GGUF": ` +
		"this looks like a web page; the download gave an error or login page in place of the file"
	if got := errorText(err); got != want || !errors.Is(err, gguf.ErrNotGGUF) {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gguf.Open(path); !errors.Is(err, gguf.ErrNotGGUF) || !errors.Is(err, gguf.ErrTruncated) {
		t.Errorf("empty file: %v, want ErrNotGGUF and ErrTruncated", err)
	}
}

func TestHeaderOfASparseFileCannotAskForItsWholeSize(t *testing.T) {
	if runtime.GOOS == "windows" || strconv.IntSize == 32 {
		t.Skip("the file cannot be mapped here")
	}
	const size = 1 << 40 // takes one block on disk
	w := header{}.magic(3, 0, 1).string("k").u32(8).u64(size - 1<<20)
	path := filepath.Join(t.TempDir(), "sparse.gguf")
	if err := os.WriteFile(path, w, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Skipf("no sparse files here: %v", err)
	}
	var err error
	got := allocated(func() { _, err = gguf.Open(path) })
	wantFormatError(t, err, `key "k"`, "more than any model needs")
	if got > 64<<10 {
		t.Errorf("allocated %d bytes, want at most 64 KiB", got)
	}
}

func errorText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// allocated returns the bytes that fn allocates, or a little more.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
