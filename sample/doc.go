// Package sample changes the scores of next tokens, and draws tokens from them. It is pure Go and
// knows neither models nor caches: it sees token ids and one float32 for each token of a
// vocabulary. Its nouns are:
//
//   - [Processor]: changes the scores of a sequence's next token. The types that implement it are
//     Hugging Face transformers' logits processors, with their names, semantics and order;
//   - [Config] and [Chain]: which processors to use, and all of them as one;
//   - [Sampler]: draws tokens by a seed. [Argmax] and [Best] choose without drawing.
//
// The score -Inf forbids a token. NaN, +Inf and scores that are all -Inf are errors that name the
// token and the reason, never a random token.
//
// A vocabulary has 150,000 tokens, so the cost of a token is how often all scores are read, and how
// many exponentials are computed. A chain reads them once, finds the best ones with a heap, sums
// exponentials by buckets and lists the tokens that the filters leave. After the first token it
// allocates nothing. What that saves is written at each of these types.
package sample
