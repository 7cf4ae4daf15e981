package testmodel

import (
	"fmt"

	"github.com/seed4d217819/ebb/gguf"
)

// Token ids that every model has. An id below BOS stands for the byte of that value.
const (
	BOS = 256
	EOS = 257
	Pad = 258
)

// The kinds of tokens, numbered as in llama.cpp.
const (
	normalToken  int32 = 1
	controlToken int32 = 3
	unusedToken  int32 = 5
)

// Tokenizer returns the metadata of a byte-level BPE tokenizer (GPT-2's) with 256 bytes, 3 special
// tokens, 5 merges, and unused tokens up to n.
func Tokenizer(n int) []gguf.KV {
	merges := [][2]string{{"Ġ", "t"}, {"h", "e"}, {"i", "n"}, {"Ġ", "a"}, {"r", "e"}}
	var tokens, lines []string
	var types []int32
	add := func(s string, t int32) { tokens, types = append(tokens, s), append(types, t) }
	for _, r := range byteRunes() {
		add(string(r), normalToken)
	}
	add("<s>", controlToken)
	add("</s>", controlToken)
	add("<pad>", controlToken)
	for _, m := range merges {
		add(m[0]+m[1], normalToken)
		lines = append(lines, m[0]+" "+m[1])
	}
	for i := len(tokens); i < n; i++ {
		add(fmt.Sprintf("<unused%d>", i), unusedToken)
	}
	return []gguf.KV{
		{Key: "tokenizer.ggml.model", Value: "gpt2"},
		{Key: "tokenizer.ggml.pre", Value: "gpt-2"},
		{Key: "tokenizer.ggml.tokens", Value: tokens},
		{Key: "tokenizer.ggml.token_type", Value: types},
		{Key: "tokenizer.ggml.merges", Value: lines},
		{Key: "tokenizer.ggml.bos_token_id", Value: uint32(BOS)},
		{Key: "tokenizer.ggml.eos_token_id", Value: uint32(EOS)},
		{Key: "tokenizer.ggml.padding_token_id", Value: uint32(Pad)},
		{Key: "tokenizer.ggml.add_bos_token", Value: false},
	}
}

// byteRunes returns the rune that stands for each byte in GPT-2's vocabulary: itself where it is
// printable in Latin-1, else the next one from U+0100 on.
func byteRunes() [256]rune {
	var runes [256]rune
	next := rune(0x100)
	for b := range runes {
		switch r := rune(b); {
		case r >= '!' && r <= '~', r >= '¡' && r <= '¬', r >= '®' && r <= 'ÿ':
			runes[b] = r
		default:
			runes[b] = next
			next++
		}
	}
	return runes
}
