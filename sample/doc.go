// Package sample changes scores of next tokens, and draws tokens from them. It
// is pure Go and knows neither models nor caches: all it sees are token ids and
// one float32 for each token of a vocabulary.
package sample
