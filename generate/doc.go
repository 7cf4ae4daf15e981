// Package generate turns logits into texts. It knows neither models nor caches: it asks the rest of
// the world for a [Sequence], which are tokens that can be continued, forked and truncated, and for
// a [Forward], which takes a batch of [Work] through a model.
//
// There are five nouns:
//
//   - [Config]: how tokens are chosen, and when a text ends;
//   - [Search]: a state machine that says which branches it wants computed, is given their logits,
//     and goes on;
//   - [Batch]: carries out searches, of one prompt or of several; one step through the model serves
//     all of them, and what does not fit together waits;
//   - [Text]: what a search has found: tokens ([Token]), a score and the reason why it ended
//     ([Finish]);
//   - [Cutter]: ends a text before a stop string.
//
// Beams are forks: a search says for each branch which earlier branch it continues, and the batch
// forks and closes sequences. A single text is a stream ([Tokens]): each token is there as soon as
// it is chosen, and leaving the loop ends the work.
package generate
