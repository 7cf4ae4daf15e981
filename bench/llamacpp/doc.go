// Package llamacpp runs a model with llama.cpp on the CPU, as the peer that ebb's speed is compared
// with. A [Model] holds the weights, and a [Context] decodes one sequence with threads that live as
// long as it does.
//
// libllama aborts the process where a Go library would return an error: on an id outside the
// vocabulary, and on a batch that is too long. The package therefore checks every id, length and
// position before the call.
package llamacpp
