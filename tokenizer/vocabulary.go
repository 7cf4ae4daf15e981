package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/gguf"
)

// models are the kinds of vocabulary that the supported architectures have. With other kinds there
// are more faults for which libllama ends the process.
var models = []string{"gpt2", "llama", "gemma4"}

// checkVocabulary reports the faults of the GGUF file at path for which libllama would end the
// process: a kind of vocabulary that is not among models, and two tokens with the same spelling.
// Other faults are left to libllama. It returns the file to open, because libllama accepts only the
// first part of a split model.
func checkVocabulary(path string) (first string, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	kind, err := f.String("tokenizer.ggml.model")
	if err != nil && !errors.Is(err, gguf.ErrNoKey) {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if !slices.Contains(models, kind) {
		return "", fmt.Errorf("tokenizer.ggml.model of %s is %q: want one of %s", path, kind, strings.Join(models, ", "))
	}
	tokens, err := f.Strings("tokenizer.ggml.tokens")
	if err != nil && !errors.Is(err, gguf.ErrNoKey) { // libllama says that it is missing
		return "", fmt.Errorf("%s: %w", path, err)
	}
	seen := make(map[string]int, len(tokens))
	for id, text := range tokens {
		text, _, _ = strings.Cut(text, "\x00") // libllama reads C strings
		if text == "" {
			text = fmt.Sprintf("[EMPTY_%d]", id) // and gives tokens without text this one
		}
		if other, ok := seen[text]; ok {
			return "", fmt.Errorf("tokens %d and %d of %s are both %q: want each once", other, id, path, text)
		}
		seen[text] = id
	}
	return f.Parts()[0].Path, nil
}
