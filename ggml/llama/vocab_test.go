package llama

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const tiny = "../../testdata/models/tiny-gqa.gguf"

func openVocab(t *testing.T) *Vocab {
	t.Helper()
	v, err := OpenVocab(tiny)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func TestVocabKnowsItsSpecialTokens(t *testing.T) {
	v := openVocab(t)
	bos, okBOS := v.BOS()
	eos, okEOS := v.EOS()
	_, okEOT := v.EOT()
	if v.Size() != 264 || bos != 256 || !okBOS || eos != 257 || !okEOS || okEOT || v.AddBOS() {
		t.Errorf("size %d, BOS %d %t, EOS %d %t, EOT %t, add BOS %t; want 264, 256 true, 257 true, false, false",
			v.Size(), bos, okBOS, eos, okEOS, okEOT, v.AddBOS())
	}
	if diff := cmp.Diff([]int32{257}, v.EOG()); diff != "" {
		t.Errorf("EOG (-want +got):\n%s", diff)
	}
	for id, want := range map[int32]bool{-1: false, 0: false, 257: true, 264: false} {
		if got := v.IsEOG(id); got != want {
			t.Errorf("IsEOG(%d) = %t, want %t", id, got, want)
		}
	}
}

func TestSpecialTokensAreReadOnlyWhenAskedFor(t *testing.T) {
	v := openVocab(t)
	for _, tc := range []struct {
		special bool
		want    []int32
	}{
		{true, []int32{257}},
		{false, []int32{'<', '/', 's', '>'}},
	} {
		got, err := v.Tokenize([]byte("</s>"), false, tc.special)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("parseSpecial %t (-want +got):\n%s", tc.special, diff)
		}
		text, err := v.Detokenize(got, false, true)
		if err != nil || string(text) != "</s>" {
			t.Errorf("back: %q, %v; want </s>", text, err)
		}
	}
	hidden, err := v.Piece(257, false)
	if err != nil || len(hidden) != 0 {
		t.Errorf("Piece of a hidden control token = %q, %v; want nothing", hidden, err)
	}
}

func TestIdsOutsideTheVocabularyAreErrors(t *testing.T) {
	v := openVocab(t)
	for _, id := range []int32{-1, -1 << 31, 264, 1<<31 - 1} {
		if _, err := v.Detokenize([]int32{'a', id}, false, false); err == nil || !strings.Contains(err.Error(), "outside the vocabulary of 264") {
			t.Errorf("Detokenize of id %d: error %v, want one that names the vocabulary", id, err)
		}
		if _, err := v.Piece(id, false); err == nil || !strings.Contains(err.Error(), "outside the vocabulary of 264") {
			t.Errorf("Piece of id %d: error %v, want one that names the vocabulary", id, err)
		}
	}
}

func TestClosedVocabGivesAnError(t *testing.T) {
	v, err := OpenVocab(tiny)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.Tokenize([]byte("a"), false, false); !errors.Is(err, ErrClosed) {
		t.Errorf("Tokenize: %v, want ErrClosed", err)
	}
	if _, err := v.Detokenize([]int32{'a'}, false, false); !errors.Is(err, ErrClosed) {
		t.Errorf("Detokenize: %v, want ErrClosed", err)
	}
	if _, err := v.Piece('a', false); !errors.Is(err, ErrClosed) {
		t.Errorf("Piece: %v, want ErrClosed", err)
	}
}

// withPreTokenizer writes the tiny model's file with another pre-tokenizer.
func withPreTokenizer(t *testing.T, name string) string {
	t.Helper()
	file, err := os.ReadFile(tiny)
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("tokenizer.ggml.pre")
	i := bytes.Index(file, key)
	if i < 0 {
		t.Fatalf("%s has no %s", tiny, key)
	}
	length := i + len(key) + 4 // after the type
	value := length + 8
	rest := value + int(binary.LittleEndian.Uint64(file[length:]))
	out := binary.LittleEndian.AppendUint64(bytes.Clone(file[:length]), uint64(len(name)))
	out = append(append(out, name...), file[rest:]...)
	out = append(out, make([]byte, 64)...) // tensor data may have moved by less than its alignment
	path := filepath.Join(t.TempDir(), name+".gguf")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// These patterns go to std::regex, which overflows the stack on a long match.
func TestEndlessWordsDoNotOverflowTheStack(t *testing.T) {
	for _, pre := range []string{"deepseek-llm", "tekken", "bloom"} {
		t.Run(pre, func(t *testing.T) {
			v, err := OpenVocab(withPreTokenizer(t, pre))
			if err != nil {
				t.Fatal(err)
			}
			defer v.Close()
			for _, unit := range []string{"a", " ", "1", ".", "\n", "aB", "中", "a\u00a0", "\xff"} {
				text := strings.Repeat(unit, 30_000)
				ids, err := v.Tokenize([]byte(text), false, false)
				if err != nil {
					t.Fatal(err)
				}
				back, err := v.Detokenize(ids, false, true)
				if err != nil {
					t.Fatal(err)
				}
				if want := string(repair([]byte(text))); string(back) != want {
					t.Errorf("%q repeated: %d bytes come back, want the %d that went in", unit, len(back), len(want))
				}
			}
		})
	}
}

func TestCuttingALongRunKeepsTheTokens(t *testing.T) {
	v := openVocab(t)
	text := []byte(strings.Repeat("thereinthe,", 1000))
	got, err := v.Tokenize(text, false, false)
	if err != nil {
		t.Fatal(err)
	}
	want, err := v.tokenize(text, false, false)
	if err != nil {
		t.Fatal(err)
	}
	if parts := cutRuns(text, v.specials); len(parts) < 2 {
		t.Fatalf("the text was cut into %d parts, want more", len(parts))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ids differ (-whole +cut):\n%s", diff)
	}
}

func TestBadFilesAreErrorsThatNameTheFile(t *testing.T) {
	dir := t.TempDir()
	whole, err := os.ReadFile(tiny)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, path := range map[string]string{
		"missing":   filepath.Join(dir, "missing.gguf"),
		"folder":    dir,
		"empty":     write("empty.gguf", nil),
		"not GGUF":  write("text.gguf", []byte("this is no model")),
		"truncated": write("truncated.gguf", whole[:2000]),
	} {
		v, err := OpenVocab(path)
		if err == nil {
			t.Errorf("%s: opened", name)
			_ = v.Close()
			continue
		}
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %q does not name %s", name, err, path)
		}
	}
}
