// Package grammar keeps output within a GBNF grammar, as a sample.Processor. Its nouns are
//
//   - [Pieces]: the texts of a vocabulary's tokens, as a tree;
//   - [Grammar]: which texts a model may write, in llama.cpp's notation
//     ([Pieces.Grammar]); package jsonschema writes it for a JSON schema;
//   - [Processor]: forbids every token after which the text could not be
//     continued to one that the grammar allows.
//
// A pushdown automaton reads a text byte by byte and follows all readings at once; the readings
// share one stack (matcher.go). Equal states are stored once, with the tokens that they allow, so
// most tokens cost no more than a pass over their scores. The cost of a grammar is bounded: the
// length of its text, its size with all repetitions written out, and the number of readings of a
// text. A grammar beyond a bound is an error; no grammar can end the process or fill the memory.
package grammar
