// Package grammar keeps output within a GBNF grammar, as a
// sample.Processor. Its nouns are
//
//   - [Pieces]: the texts of a vocabulary's tokens, as a tree;
//   - [Grammar]: which texts a model may write, in llama.cpp's notation
//     ([Pieces.Grammar]); package jsonschema writes it for a JSON schema;
//   - [Processor]: forbids every token after which the text could not be
//     continued to one that the grammar allows.
//
// A text is read byte by byte and in all ways at once, by a pushdown automaton
// whose ways share one stack (matcher.go). States are kept by what they contain,
// with the tokens that they allow, so most tokens cost no more than a pass over
// their scores. What a grammar may cost is bounded: the text of one, what it
// becomes with all repetitions written out, and the ways to read a text. Beyond
// that is an error; nothing in a grammar can end the process or fill the memory.
package grammar
