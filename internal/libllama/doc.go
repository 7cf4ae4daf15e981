// Package libllama loads libllama, llama.cpp's library, and binds its functions for the packages
// that call it: ggml/llama for vocabularies, and the peer that benchmarks compare ebb with.
//
// The library comes from the folder of the ggml libraries and is loaded once in a process, at the
// first [Load]. Its log has one callback per process, which is why one package owns it:
// [Library.Reported] tells a caller why a call failed.
package libllama
