package hub

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/gguf"
)

// model returns a GGUF file with a tensor of so many bytes and so many bytes of metadata; a part of
// a split model if of is above 1.
func model(t *testing.T, metadata, tensor, part, of int) []byte {
	t.Helper()
	meta := []gguf.KV{
		{Key: "general.architecture", Value: "llama"},
		{Key: "test.padding", Value: string(bytes.Repeat([]byte("x"), metadata))},
	}
	if of > 1 {
		meta = append(meta, gguf.KV{Key: "split.no", Value: uint16(part)}, gguf.KV{Key: "split.count", Value: uint16(of)},
			gguf.KV{Key: "split.tensors.count", Value: int32(of)})
	}
	var b bytes.Buffer
	name := fmt.Sprintf("blk.%d.weight", part)
	if err := gguf.Write(&b, meta, []gguf.TensorData{{Name: name, Type: gguf.I8, Shape: []int64{int64(tensor)}, Data: content(tensor)}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAHeaderIsReadByRanges(t *testing.T) {
	for _, test := range []struct {
		name             string
		metadata, tensor int
		want             []string // ranges
	}{
		{"a short one", 100, 3 << 20, []string{"bytes=0-1048575"}},
		{"a long one", 3 << 20, 8 << 20, []string{"bytes=0-1048575", "bytes=1048576-2097151", "bytes=2097152-4194303"}},
		{"one that ends with the file", 3 << 20, 32, []string{"bytes=0-1048575", "bytes=1048576-2097151", "bytes=2097152-"}},
		{"a small file", 10, 100, []string{""}},
	} {
		h := newFakeHub(t)
		data := model(t, test.metadata, test.tensor, 0, 1)
		h.put(commitA, "m.gguf", data)
		o := h.options(t)
		f, err := ReadHeader(t.Context(), ref("m.gguf"), o)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		tensor, ok := f.Tensor("blk.0.weight")
		if !ok || tensor.Size != int64(test.tensor) || f.Architecture() != "llama" || f.Parts()[0].Size != int64(len(data)) || f.Data(tensor) != nil {
			t.Errorf("%s: tensor %v, architecture %s, parts %v; want %d bytes of a llama file of %d, and none of them here",
				test.name, tensor, f.Architecture(), f.Parts(), test.tensor, len(data))
		}
		if diff := cmp.Diff(h.asked(), test.want); diff != "" {
			t.Errorf("%s: ranges (-got +want):\n%s", test.name, diff)
		}
		if files := tree(t, o.Cache); len(files) > 0 {
			t.Errorf("%s: the cache has %q, want nothing", test.name, files)
		}
	}
}

func TestAHeaderComesFromTheCacheIfTheFileIsThere(t *testing.T) {
	h := newFakeHub(t)
	h.put(commitA, "m.gguf", model(t, 10, 3<<20, 0, 1))
	o := h.options(t)
	fetch(t, ref("m.gguf"), o)
	for _, offline := range []bool{false, true} {
		o.Offline = offline
		f, err := ReadHeader(t.Context(), ref("m.gguf"), o)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil || len(h.asked()) != 1 {
			t.Errorf("offline %t: %v after %d downloads, want 1", offline, err, len(h.asked()))
		}
	}
	if _, err := ReadHeader(t.Context(), ref("n.gguf"), o); !errors.Is(err, ErrOffline) {
		t.Errorf("a file that is not in the cache: %v, want that it is offline", err)
	}
}

func TestHeadersOfAllPartsAreJoined(t *testing.T) {
	h := newFakeHub(t)
	for i := range 3 {
		h.put(commitA, fmt.Sprintf("m-%05d-of-00003.gguf", i+1), model(t, 10, 2<<20, i, 3))
	}
	f, err := ReadHeader(t.Context(), ref("m-00002-of-00003.gguf"), h.options(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Tensors()) != 3 || len(f.Parts()) != 3 || f.Parts()[2].Path != "m-00003-of-00003.gguf" {
		t.Errorf("%d tensors in parts %v, want one in each of three", len(f.Tensors()), f.Parts())
	}
	// A part of another model, and one under a name of its own.
	h.put(commitA, "m-00003-of-00003.gguf", model(t, 10, 2<<20, 1, 3))
	_, err = ReadHeader(t.Context(), ref("m-00001-of-00003.gguf"), h.options(t))
	wantError(t, err, "m-00003-of-00003.gguf", "it was renamed")
	h.put(commitA, "m.gguf", model(t, 10, 2<<20, 1, 3))
	_, err = ReadHeader(t.Context(), ref("m.gguf"), h.options(t))
	wantError(t, err, "is part 2 of 3")
	h.put(commitA, "m-00003-of-00003.gguf", model(t, 10, 2<<20, 0, 1))
	_, err = ReadHeader(t.Context(), ref("m-00001-of-00003.gguf"), h.options(t))
	wantError(t, err, "m-00003-of-00003.gguf", "is no part of a model")
}

func TestAHeaderSurvivesCutConnectionsAndServersWithoutRanges(t *testing.T) {
	h := newFakeHub(t)
	data := model(t, 3<<20, 8<<20, 0, 1)
	h.put(commitA, "m.gguf", data)
	cuts := 0
	h.onGet = func(w http.ResponseWriter, r *http.Request, data []byte) bool {
		if cuts++; cuts%2 == 0 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data))) // no ranges, and not all of it
		_, _ = w.Write(data[:700_000*cuts])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	f, err := ReadHeader(t.Context(), ref("m.gguf"), h.options(t))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.Tensors()); n != 1 || cuts < 3 {
		t.Errorf("%d tensors after %d requests, want 1 after at least 3", n, cuts)
	}
}

func TestWhatIsNoHeaderIsAnErrorThatNamesTheFile(t *testing.T) {
	h := newFakeHub(t)
	whole := model(t, 2<<20, 100, 0, 1)
	for name, test := range map[string]struct {
		data []byte
		want error
	}{
		"page.gguf":  {[]byte("<html>" + string(content(2<<20))), gguf.ErrNotGGUF},
		"empty.gguf": {nil, gguf.ErrNotGGUF},
		"short.gguf": {whole[:1<<20+5], gguf.ErrTruncated},
	} {
		h.put(commitA, name, test.data)
		_, err := ReadHeader(t.Context(), ref(name), h.options(t))
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		wantError(t, err, name)
	}
	_, err := ReadHeader(t.Context(), ref("none.gguf"), h.options(t))
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("a file that does not exist: %v, want that it is not found", err)
	}
	bad := ref("m.gguf")
	bad.Owner = ".."
	if _, err := ReadHeader(t.Context(), bad, h.options(t)); err == nil {
		t.Error("a name that is none: no error")
	}
}

func TestHeadersOfTheGoldenModelsAreThoseOfTheFiles(t *testing.T) {
	paths, err := filepath.Glob("../testdata/models/*.gguf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := gguf.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		end := int(whole.Tensors()[0].Offset)
		for _, tensor := range whole.Tensors() {
			end = min(end, int(tensor.Offset))
		}
		header, err := gguf.ParseHeader(data[:end], int64(len(data)))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if diff := cmp.Diff(header.Tensors(), whole.Tensors()); diff != "" {
			t.Errorf("%s: tensors (-header +file):\n%s", path, diff)
		}
		for _, n := range []int{0, 3, 4, 20, 100, end / 2, end - 64} {
			if _, err := gguf.ParseHeader(data[:n], int64(len(data))); !errors.Is(err, gguf.ErrPartial) {
				t.Errorf("%s: the first %d bytes: %v, want ErrPartial", path, n, err)
			}
		}
	}
}
