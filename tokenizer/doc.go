// Package tokenizer turns text into the token ids of a model and back. Its nouns are
//
//   - [Tokenizer]: the vocabulary of a GGUF file, exact because libllama splits the text (package
//     ggml/llama);
//   - [Decoder]: the text of tokens that come one at a time, as they are generated, without ever
//     splitting a character.
//
// Any bytes are safe as text, and any values as ids.
package tokenizer
