package tokenizer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/tokenizer"
)

func TestAVocabularyOfAnotherKindIsAnError(t *testing.T) {
	var file bytes.Buffer
	err := gguf.Write(&file, []gguf.KV{
		{Key: "general.architecture", Value: "llama"},
		{Key: "tokenizer.ggml.model", Value: "bert"},
		{Key: "tokenizer.ggml.tokens", Value: []string{"a"}},
		{Key: "tokenizer.ggml.token_type", Value: []int32{6}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bert.gguf")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tokenizer.Open(path); err == nil || !strings.Contains(err.Error(), "want one of gpt2, llama, gemma4") {
		t.Errorf("open: %v; want an error that lists the kinds", err)
	}
}

func TestTokensSpeltAlikeAreAnError(t *testing.T) {
	for _, c := range []struct {
		tokens []string
		want   string
	}{
		{[]string{"a", "b", "a"}, `tokens 0 and 2 of `},
		{[]string{"a", "b", "b\x00c"}, `tokens 1 and 2 of `}, // a C string ends at the zero
		{[]string{"a", "", "[EMPTY_1]"}, `tokens 1 and 2 of `},
	} {
		var file bytes.Buffer
		err := gguf.Write(&file, []gguf.KV{
			{Key: "general.architecture", Value: "llama"},
			{Key: "tokenizer.ggml.model", Value: "gpt2"},
			{Key: "tokenizer.ggml.tokens", Value: c.tokens},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "alike.gguf")
		if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		tok, err := tokenizer.Open(path)
		if err == nil {
			err = tok.Close()
			t.Fatalf("%q opened (closed: %v), want an error", c.tokens, err)
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got the error %v, want one with %q", c.tokens, err, c.want)
		}
	}
}
