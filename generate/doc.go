// Package generate turns logits into tokens. It knows neither models nor caches: all it asks of the rest of the world is
// a [Sequence], something that takes tokens and answers with the logits of the next one.
//
// There are three nouns:
//
//   - [Sequence]: tokens that can be continued;
//   - [Config]: when to stop;
//   - [Token]: what was chosen, and how probable it was.
//
// Results are streams: each token is there as soon as it is chosen, and leaving the loop ends the work.
package generate
