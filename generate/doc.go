// Package generate turns logits into texts. It knows neither models nor caches: all it asks of the rest of the world is a
// [Sequence], tokens that can be continued, forked and truncated, and a [Forward] that takes a batch of them through a
// model.
//
// There are five nouns:
//
//   - [Config]: how tokens are chosen, and when a text ends;
//   - [Search]: a state machine that says which branches it wants forwarded, is given their logits, and goes on;
//   - [Batch]: carries out searches, of one prompt or of several, with one forward pass a step for all;
//   - [Text]: what a search has found, made of tokens ([Token]) and with a score;
//   - [Cutter]: ends a text before a stop string.
//
// Beams are forks: a search names for each branch which one of before it continues, and the batch forks and closes
// sequences. A text of its own is a stream ([Tokens]): each token is there as soon as it is chosen, and leaving the loop
// ends the work.
package generate
