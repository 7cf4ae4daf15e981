// Package gguf reads GGUF, the file format of ggml's models, and writes it for tests.
//
// A file is a header (metadata: key–value pairs in order; then one entry a tensor) followed by the
// tensors' bytes. The package has five nouns:
//
//   - [File]: an opened file. Its metadata is read by key with a typed getter ([File.Uint], [File.Strings], …).
//   - [Part]: one of the files of a model that is split into several.
//   - [Value]: one metadata value with its [Kind], for programs that print whatever is there.
//   - [Tensor]: the name, type, shape and place of one tensor. [File.Data] gives its bytes without copying them.
//   - [Type]: a ggml tensor type, with the block sizes from which byte counts follow.
//
// Files come from strangers, so everything that a header claims is checked before it is believed,
// and memory stays within a small multiple of the bytes that are really there. What is wrong is
// reported as a [*FormatError] that names the field.
//
// Versions 2 and 3 of the format are read, little-endian only; version 3 is written. The format is
// described at https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; where practice is
// stricter than that text (nested arrays, duplicate keys), this package refuses what ggml itself
// refuses.
package gguf
