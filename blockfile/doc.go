// Package blockfile keeps rows and states in files, a block of 256 tokens each, named by the digest of
// all tokens up to there, so that what was computed is found again by tokens alone: by another
// conversation that begins with the same ones, and by the next process.
//
// It has seven nouns. A [Store] is a folder with a bound on its bytes, which one process uses at a time.
// A [Root] says what rows belong to: a model, the types of its K/V, and a salt, so that those with
// different salts never meet. A [Key] is the digest of a root and of the tokens that follow. A [Match] is
// the longest beginning of a prompt that a store has; it is a source of rows and states as kv's
// Pool.Restore reads them. A [Draft] writes the rows and states that a store does not have yet. A
// [Trail] names a conversation's tokens by their keys, and leads to its files where nobody has the tokens. What
// is [Held] is not evicted.
//
// A file gets its name when all of it is on the disk, so whatever interrupts a store, the files that have
// names are whole. Rows and states are verified each time they are read. When the store is full, the files
// that nobody continues and that were not used for the longest time go first. docs/tiers.md has the format.
package blockfile
