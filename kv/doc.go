// Package kv holds the K/V of sequences and moves layers between a device and a
// tier.
//
// Its nouns:
//
//   - A [Pool] is the cache of one engine: a [Policy], a [Placement] of layers
//     that follows from it, slots that streamed layers visit, and the bytes all
//     of it takes.
//   - A [Seq] is tokens with their cells. [Seq.Fork] gives another that shares
//     the cells so far; together they are a tree.
//   - A [Step] is one pass of new tokens through all layers. It reserves cells
//     when it begins, and sequences grow when it is committed; closed without
//     that it leaves everything as it was.
//   - A [Layer] of a step has its [Rows] where it computes when the loop over
//     [Step.Layers] yields it, while the next ones are fetched.
//   - A [Chunk] is tokens of a step that one graph computes; a [Part] of it those
//     of one tree.
//
// The order of copies and computations is in walk.go and nowhere else.
package kv
