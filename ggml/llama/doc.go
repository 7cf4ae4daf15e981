// Package llama binds the part of libllama, llama.cpp's library, that this module does not write
// itself: [Vocab], the vocabulary of a GGUF file, opened without its weights, and the exact
// tokenizer that goes with it.
//
// Package internal/libllama loads libllama from the folder of the ggml libraries, once a process,
// at the first Open; the loader's table of libraries is the only state that calls of this package
// share.
//
// libllama ends the process (abort, or an uncaught C++ exception) where a Go library would return
// an error: on an id outside the vocabulary, on text with a code point above U+10FFFF. Every id and
// length is therefore checked here before the call, and text that is not UTF-8 is repaired first.
// The file itself cannot be checked from outside: libllama trusts much of a GGUF's metadata, so
// read a file of unknown origin with package gguf before you open it here.
package llama
