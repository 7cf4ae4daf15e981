package gguf_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

func TestPartNames(t *testing.T) {
	for _, test := range []struct {
		name string
		want []string
	}{
		{"m-00001-of-00002.gguf", []string{"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}},
		{"a/b-00001-of-00003/m-00002-of-00002.gguf", []string{"a/b-00001-of-00003/m-00001-of-00002.gguf", "a/b-00001-of-00003/m-00002-of-00002.gguf"}},
		{"-00001-of-00001.gguf", []string{"-00001-of-00001.gguf"}},
		{"m-00003-of-00002.gguf", nil},
		{"m-00000-of-00002.gguf", nil},
		{"m-1-of-2.gguf", nil},
		{"m-00001-of-00002.bin", nil},
		{"m.gguf", nil},
		{"", nil},
	} {
		if diff := cmp.Diff(gguf.PartNames(test.name), test.want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", test.name, diff)
		}
	}
	if got := gguf.PartNames("m-00001-of-99999.gguf"); len(got) != 99999 || got[99998] != "m-99999-of-99999.gguf" {
		t.Errorf("%d names, want 99999 of five digits", len(got))
	}
}

func TestASplitModelHasTheTensorsOfTheWholeOne(t *testing.T) {
	whole := open(t, tinyModel)
	paths := testmodel.Split(t, tinyModel, 3, func(i int) int { return 2 - i%3 })
	for _, path := range paths { // whichever is named
		f := open(t, path)
		if len(f.Tensors()) != len(whole.Tensors()) {
			t.Fatalf("%d tensors, want %d", len(f.Tensors()), len(whole.Tensors()))
		}
		for _, want := range whole.Tensors() {
			got, ok := f.Tensor(want.Name)
			if !ok || !bytes.Equal(f.Data(got), whole.Data(want)) {
				t.Errorf("%s: found %t, or its bytes differ", want, ok)
			}
			if m := f.Mapping(got.Part); m != nil && !bytes.Equal(m[got.Offset:got.Offset+got.Size], f.Data(got)) {
				t.Errorf("%s: bytes at Offset of its part differ from Data", got)
			}
		}
		var names []string
		var counts []int
		for _, p := range f.Parts() {
			names, counts = append(names, p.Path), append(counts, p.Tensors)
		}
		if !slices.Equal(names, paths) || !slices.Equal(counts, []int{16, 16, 16}) {
			t.Errorf("parts %v with %v tensors, want %v with 16 each", names, counts, paths)
		}
		if got, want := f.Architecture(), "llama"; got != want {
			t.Errorf("architecture %q, want the first part's, %q", got, want)
		}
	}
}

// parts are files that a test writes side by side, by name.
type parts map[string][]byte

// mix is a model of two parts, a with one tensor and b with two; edit changes it.
func mix(t *testing.T, edit func(parts)) parts {
	t.Helper()
	files := parts{
		"m-00001-of-00002.gguf": part(t, testmodel.SplitKeys(0, 2, 3), "a"),
		"m-00002-of-00002.gguf": part(t, testmodel.SplitKeys(1, 2, 3), "b", "c"),
	}
	edit(files)
	return files
}

func part(tb testing.TB, meta []gguf.KV, tensors ...string) []byte {
	tb.Helper()
	var data []gguf.TensorData
	for _, name := range tensors {
		data = append(data, gguf.TensorData{Name: name, Type: gguf.F32, Shape: []int64{8}, Data: bytes.Repeat([]byte(name[:1]), 32)})
	}
	return write(tb, meta, data)
}

func (p parts) write(tb testing.TB) (dir string) {
	tb.Helper()
	dir = tb.TempDir()
	for name, data := range p {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func TestPartsThatDoNotFitAreNamed(t *testing.T) {
	const a, b = "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"
	keys := func(i, n, tensors int, more ...gguf.KV) []gguf.KV {
		return append(more, testmodel.SplitKeys(i, n, tensors)...)
	}
	arch := func(name string) gguf.KV { return gguf.KV{Key: "general.architecture", Value: name} }
	for _, test := range []struct {
		name string
		open string
		edit func(parts)
		want []string
	}{
		{"a part is missing", a, func(p parts) { delete(p, b) }, []string{a, "1 of the model's 2 parts are missing beside it: " + b}},
		{"the first is missing", b, func(p parts) { delete(p, a) }, []string{b, "1 of the model's 2 parts are missing beside it: " + a}},
		{"many are missing", "m-00001-of-00009.gguf", func(p parts) { p["m-00001-of-00009.gguf"] = part(t, keys(0, 9, 3), "a") }, []string{
			"8 of the model's 9 parts are missing beside it: m-00002-of-00009.gguf, m-00003-of-00009.gguf, m-00004-of-00009.gguf and 5 more",
		}},
		{"named like no part", "m.gguf", func(p parts) { p["m.gguf"] = p[a] }, []string{"m.gguf", "is part 1 of 2", "ends in -00001-of-00002.gguf"}},
		{"named like another part", b, func(p parts) { p[b] = p[a] }, []string{b, "is part 1 of 2", "ends in -00001-of-00002.gguf"}},
		{"another part was renamed", a, func(p parts) { p[b] = p[a] }, []string{b, "split.no is 0, want 1", "renamed"}},
		{"another count", a, func(p parts) { p[b] = part(t, keys(1, 3, 3), "b", "c") }, []string{b, "split.count is 3, want 2 as in", a}},
		{"another number of tensors", a, func(p parts) { p[b] = part(t, keys(1, 2, 4), "b", "c") }, []string{b, "split.tensors.count is 4, want 3 as in", a}},
		{"another architecture", a, func(p parts) {
			p[a], p[b] = part(t, keys(0, 2, 3, arch("llama")), "a"), part(t, keys(1, 2, 3, arch("mamba")), "b", "c")
		}, []string{b, `general.architecture is "mamba", want "llama" as in`, a}},
		{"a whole model in place of a part", a, func(p parts) { p[b] = part(t, nil, "b", "c") }, []string{b, "is no part of a model"}},
		{"a tensor twice", a, func(p parts) { p[b] = part(t, keys(1, 2, 3), "b", "a") }, []string{b, `tensor "a" is in`, a}},
		{"too few tensors", a, func(p parts) { p[b] = part(t, keys(1, 2, 3), "b") }, []string{a, "split.tensors.count is 3, and the 2 parts have 2 tensors"}},
		{"no tensor count", a, func(p parts) { p[a] = part(t, keys(0, 2, 3)[:2], "a") }, []string{a, "split.tensors.count is missing"}},
		{"no number", a, func(p parts) { p[a] = part(t, keys(0, 2, 3)[1:], "a") }, []string{a, "split.no is missing"}},
		{"a number past the count", a, func(p parts) { p[a] = part(t, keys(2, 2, 3), "a") }, []string{a, "split.no is 2, want less than split.count, 2"}},
		{"a count of another kind", a, func(p parts) { p[a] = part(t, []gguf.KV{{Key: "split.count", Value: uint32(2)}}, "a") }, []string{a, "split.count is uint32, want uint16"}},
		{"a number of another kind", a, func(p parts) { // for which libllama ends the process
			p[b] = part(t, append([]gguf.KV{{Key: "split.no", Value: int8(1)}}, keys(1, 2, 3)[1:]...), "b", "c")
		}, []string{b, "split.no is int8, want uint16"}},
		{"a part that is no GGUF", a, func(p parts) { p[b] = []byte("<html>") }, []string{b, "web page"}},
		{"a part that ends early", a, func(p parts) { p[b] = p[b][:len(p[b])-8] }, []string{b, `tensor "c"`, "truncated"}},
		{"a broken header", a, func(p parts) { p[b] = bytes.Replace(p[b], []byte("split.count"), []byte("split.no\x00\x00\x00"), 1) }, []string{b}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := mix(t, test.edit).write(t)
			f, err := gguf.Open(filepath.Join(dir, test.open))
			if err == nil {
				t.Fatalf("opened with %d tensors (close: %v), want an error", len(f.Tensors()), f.Close())
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), "gguf: gguf:") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line that names the package once", err)
			}
		})
	}
}

func TestMissingPartsAreErrNotExist(t *testing.T) {
	dir := mix(t, func(p parts) { delete(p, "m-00002-of-00002.gguf") }).write(t)
	if _, err := gguf.Open(filepath.Join(dir, "m-00001-of-00002.gguf")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestASplitOfOneIsAWholeModel(t *testing.T) {
	dir := parts{"any name": part(t, testmodel.SplitKeys(0, 1, 1), "a")}.write(t)
	f := open(t, filepath.Join(dir, "any name"))
	if got := len(f.Parts()); got != 1 {
		t.Errorf("%d parts, want 1", got)
	}
}

// FuzzOpenParts keeps two promises for any bytes in two files that are named as parts: no panic,
// and what opens has all its tensors inside the files.
func FuzzOpenParts(f *testing.F) {
	first, second := part(f, testmodel.SplitKeys(0, 2, 3), "a"), part(f, testmodel.SplitKeys(1, 2, 3), "b", "c")
	f.Add(first, second)
	f.Add(first, first)
	f.Add(second, first)
	f.Add(first, second[:len(second)-33])
	f.Add(first, part(f, testmodel.SplitKeys(1, 2, 3), "a", "b"))
	f.Add(part(f, testmodel.SplitKeys(0, 65535, 3), "a"), second)
	f.Add(part(f, testmodel.SplitKeys(0, 2, -1), "a"), second)
	f.Add(part(f, testmodel.SplitKeys(0, 2, 0)), part(f, testmodel.SplitKeys(1, 2, 0)))
	f.Add(part(f, nil, "a"), second)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for i, data := range [][]byte{first, second} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("m-%05d-of-00002.gguf", i+1)), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 2 {
			file, err := gguf.Open(filepath.Join(dir, fmt.Sprintf("m-%05d-of-00002.gguf", i+1)))
			if err != nil {
				continue
			}
			readAll(t, file)
			if err := file.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
