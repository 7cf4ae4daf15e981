package tokenizer_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/tokenizer"
)

// smollm2 opens the real model's tokenizer, or skips the test.
func smollm2(t *testing.T) *tokenizer.Tokenizer {
	t.Helper()
	path := os.Getenv("EBB_TEST_MODEL")
	if path == "" {
		if cache, err := os.UserCacheDir(); err == nil {
			path = filepath.Join(cache, "ebb", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
		}
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("SmolLM2 is not in the cache: run make model")
	}
	return open(t, path)
}

func open(t testing.TB, path string) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tok.Close(); err != nil {
			t.Error(err)
		}
	})
	return tok
}

// cases reads the cases of a golden file.
func cases[T any](t *testing.T, name string) []T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", "cases", name))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []T }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) == 0 {
		t.Fatalf("%s has no cases", name)
	}
	return file.Cases
}

func TestSmolLM2TokenizesLikeLlamaCpp(t *testing.T) {
	tok := smollm2(t)
	type golden struct {
		Hex          string
		ParseSpecial bool `json:"parse_special"`
		Llama        []int32
		DetokHex     string `json:"detok_hex"`
	}
	for _, tc := range cases[golden](t, "tokenizer_smollm2.json") {
		text, err := hex.DecodeString(tc.Hex)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tok.Encode(string(text), tokenizer.Options{ParseSpecial: tc.ParseSpecial})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if len(got) != len(tc.Llama) || (len(got) > 0 && !cmp.Equal(got, tc.Llama)) {
			t.Errorf("%q, parse special %t: ids %v, want %v", text, tc.ParseSpecial, got, tc.Llama)
		}
		if back := hex.EncodeToString([]byte(tok.Decode(tc.Llama, false))); back != tc.DetokHex {
			t.Errorf("%q: decodes to %s, want %s", text, back, tc.DetokHex)
		}
		if stream := hex.EncodeToString([]byte(streamed(tok, tc.Llama, false))); stream != tc.DetokHex {
			t.Errorf("%q: streams to %s, want %s", text, stream, tc.DetokHex)
		}
	}
}

func TestSmolLM2ChatTextsHaveTheGoldenIds(t *testing.T) {
	tok := smollm2(t)
	type golden struct {
		Text string
		IDs  []int32
	}
	for _, tc := range cases[golden](t, "chat_smollm2.json") {
		got, err := tok.Encode(tc.Text, tokenizer.Options{ParseSpecial: true})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.IDs, got); diff != "" {
			t.Errorf("%q: ids (-want +got):\n%s", tc.Text, diff)
		}
	}
}

// libllama also counts <reponame> (4), which ends a file of a repository.
func TestSmolLM2EndsAtTheTokensThatLlamaCppStopsAt(t *testing.T) {
	tok := smollm2(t)
	eos, ok := tok.EOS()
	if eos != 2 || !ok || tok.Size() != 49152 {
		t.Errorf("EOS %d %t, size %d; want 2 true, 49152", eos, ok, tok.Size())
	}
	if diff := cmp.Diff([]int32{0, 2, 4}, tok.EOG()); diff != "" {
		t.Errorf("EOG (-want +got):\n%s", diff)
	}
}

// streamed decodes ids one at a time.
func streamed(tok *tokenizer.Tokenizer, ids []int32, skipSpecial bool) string {
	d := tok.NewDecoder(skipSpecial)
	text := ""
	for _, id := range ids {
		text += d.Next(id)
	}
	return text + d.Flush()
}
