// Package testmodel makes tiny language models for tests: random weights from a seed, in GGUF,
// quantised if asked.
//
// The models have the shapes, metadata and gains of the golden models in testdata/models: weights
// are scaled so that attention is neither flat nor stuck on one cell and the logits of different
// tokens differ clearly. Their output makes no sense.
package testmodel
