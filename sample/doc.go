// Package sample changes scores of next tokens, and draws tokens from them. It
// is pure Go and knows neither models nor caches: all it sees are token ids and
// one float32 for each token of a vocabulary. Its nouns are
//
//   - [Processor]: changes the scores of a sequence's next token. The types that
//     implement it are Hugging Face transformers' logits processors, one each,
//     with its names, semantics and order;
//   - [Config] and [Chain]: which processors, and all of them as one;
//   - [Sampler]: draws by a seed. [Argmax] and [Best] choose without.
//
// A token is forbidden by the score -Inf. NaN, +Inf and nothing but -Inf are
// errors that say which token and why, never a random token.
//
// A vocabulary has 150,000 tokens, so what a token costs is how often all of
// them are looked at, and how many exponentials are taken. A chain looks once,
// finds the best with a heap, sums exponentials by buckets, and lists the tokens
// that the filters leave; after the first token it allocates nothing.
package sample
