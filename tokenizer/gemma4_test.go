package tokenizer_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/tokenizer"
)

// gemma4 writes a small vocabulary of Gemma 4's kind, and returns its path and the ids of its tokens:
// special tokens, all bytes, some characters, and what three merges make of them.
func gemma4(t *testing.T) (path string, id map[string]int32) {
	t.Helper()
	const normal, control, byteToken = 1, 3, 6
	var tokens []string
	var types []int32
	id = map[string]int32{}
	add := func(kind int32, texts ...string) {
		for _, text := range texts {
			id[text] = int32(len(tokens))
			tokens, types = append(tokens, text), append(types, kind)
		}
	}
	add(control, "<pad>", "<eos>", "<bos>", "<|turn>", "<turn|>")
	for b := range 256 {
		add(byteToken, fmt.Sprintf("<0x%02X>", b))
	}
	add(normal, "▁", "\n", "\n\n", "a", "b", "c", "é", "▁a", "ab", "▁ab")
	var file bytes.Buffer
	err := gguf.Write(&file, []gguf.KV{
		{Key: "general.architecture", Value: "gemma4"},
		{Key: "tokenizer.ggml.model", Value: "gemma4"},
		{Key: "tokenizer.ggml.tokens", Value: tokens},
		{Key: "tokenizer.ggml.token_type", Value: types},
		{Key: "tokenizer.ggml.merges", Value: []string{"a b", "▁ ab", "▁ a"}},
		{Key: "tokenizer.ggml.bos_token_id", Value: uint32(id["<bos>"])},
		{Key: "tokenizer.ggml.eos_token_id", Value: uint32(id["<eos>"])},
		{Key: "tokenizer.ggml.padding_token_id", Value: uint32(id["<pad>"])},
		{Key: "tokenizer.ggml.add_bos_token", Value: true},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "gemma4.gguf")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, id
}

func TestGemma4SplitsTextAsItsMergesSayAndSpellsTheRestInBytes(t *testing.T) {
	path, id := gemma4(t)
	tok := open(t, path)
	for _, test := range []struct {
		text string
		o    tokenizer.Options
		want string // tokens with blanks between them
	}{
		{"ab ab a", tokenizer.Options{}, "ab ▁ab ▁a"},
		{" ab", tokenizer.Options{}, "▁ab"},
		{"a  b", tokenizer.Options{}, "a ▁ ▁ b"},
		{"é€", tokenizer.Options{}, "é <0xE2> <0x82> <0xAC>"},
		{"a", tokenizer.Options{AddSpecial: true}, "<bos> a"},
		{"<|turn>a<turn|>", tokenizer.Options{ParseSpecial: true}, "<|turn> a <turn|>"},
	} {
		var want []int32
		for text := range strings.FieldsSeq(test.want) {
			want = append(want, id[text])
		}
		got, err := tok.Encode(test.text, test.o)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q %+v: got %v and the error %v, want %v", test.text, test.o, got, err, want)
		}
		if text := tok.Decode(got, true); test.o == (tokenizer.Options{}) && text != test.text {
			t.Errorf("%q: its tokens are the text %q", test.text, text)
		}
	}
	lines, err := tok.Encode("a\n\nb\n", tokenizer.Options{})
	if want := []int32{id["a"], id["\n\n"], id["b"], id["\n"]}; err != nil || !slices.Equal(lines, want) {
		t.Errorf("got %v and the error %v, want %v", lines, err, want)
	}
	if eog := tok.EOG(); !slices.Equal(eog, []int32{id["<eos>"], id["<turn|>"]}) {
		t.Errorf("texts end with %v, want %d and %d", eog, id["<eos>"], id["<turn|>"])
	}
}

func TestGemma4TakesALineOfAnyLength(t *testing.T) {
	path, id := gemma4(t)
	tok := open(t, path)
	const n = 200_000
	got, err := tok.Encode(strings.Repeat("ab ", n)+strings.Repeat("c", n), tokenizer.Options{})
	if err != nil || len(got) != 2*n+1 || got[n-1] != id["▁ab"] || got[n] != id["▁"] || got[2*n] != id["c"] {
		t.Errorf("got %d tokens and the error %v, want %d", len(got), err, 2*n+1)
	}
}
