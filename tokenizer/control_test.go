package tokenizer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/gguf"
)

// withTokens writes the vocabulary of the tiny models with control tokens behind it, and more
// metadata.
func withTokens(t *testing.T, spellings []string, more ...gguf.KV) (path string, first int32) {
	t.Helper()
	file, err := gguf.Open(tiny)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var meta []gguf.KV
	for key, value := range file.Metadata() {
		v := value.Any()
		switch key {
		case "tokenizer.ggml.tokens":
			first = int32(len(v.([]string)))
			v = slices.Concat(v.([]string), spellings)
		case "tokenizer.ggml.token_type":
			types := slices.Clone(v.([]int32))
			for range spellings {
				types = append(types, 3) // LLAMA_TOKEN_TYPE_CONTROL
			}
			v = types
		case "tokenizer.ggml.scores":
			v = append(slices.Clone(v.([]float32)), make([]float32, len(spellings))...)
		}
		if !slices.ContainsFunc(more, func(kv gguf.KV) bool { return kv.Key == key }) {
			meta = append(meta, gguf.KV{Key: key, Value: v})
		}
	}
	var out bytes.Buffer
	if err := gguf.Write(&out, append(meta, more...), nil); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "vocabulary.gguf")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, first
}

// Every family ends a turn with tokens of its own: those that the file names, and those that
// libllama knows by name.
func TestTurnsOfEveryFamilyEndGeneration(t *testing.T) {
	for family, tc := range map[string]struct {
		tokens []string
		ends   []string
		meta   []gguf.KV
	}{
		"qwen":    {[]string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}, []string{"<|endoftext|>", "<|im_end|>"}, nil},
		"llama":   {[]string{"<|eot_id|>", "<|eom_id|>", "<|python_tag|>"}, []string{"<|eot_id|>", "<|eom_id|>"}, nil},
		"gpt-oss": {[]string{"<|return|>", "<|call|>", "<|end|>", "<|channel|>", "<|message|>"}, []string{"<|return|>", "<|call|>"}, nil},
		"gemma4":  {[]string{"<|turn>", "<turn|>", "<|tool_response>", "<tool_call|>"}, []string{"<turn|>", "<|tool_response>"}, nil},
		"gemma":   {[]string{"<start_of_turn>", "<end_of_turn>"}, []string{"<end_of_turn>"}, nil},
		"phi":     {[]string{"<|user|>", "<|end|>"}, []string{"<|end|>"}, nil},
		"named by the file": {
			[]string{"<eos>", "<eot>", "<eom>", "<other>"},
			[]string{"<eos>", "<eot>", "<eom>"},
			[]gguf.KV{
				{Key: "tokenizer.ggml.eos_token_id", Value: uint32(264)},
				{Key: "tokenizer.ggml.eot_token_id", Value: uint32(265)},
				{Key: "tokenizer.ggml.eom_token_id", Value: uint32(266)},
			},
		},
	} {
		t.Run(family, func(t *testing.T) {
			path, first := withTokens(t, tc.tokens, tc.meta...)
			tok := open(t, path)
			var ends []string
			for _, id := range tok.EOG() {
				if id >= first {
					ends = append(ends, tok.Spell(id))
				}
			}
			slices.Sort(ends)
			slices.Sort(tc.ends)
			if diff := cmp.Diff(tc.ends, ends); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestControlTokensHaveASpellingButNoText(t *testing.T) {
	path, first := withTokens(t, []string{"<|tool_call>"})
	tok := open(t, path)
	for id, want := range map[int32]string{first: "<|tool_call>", 257: "</s>", 'a': "", 0x80: "", -1: "", first + 1: ""} {
		if got := tok.Control(id); got != want {
			t.Errorf("Control(%d) = %q, want %q", id, got, want)
		}
	}
}
