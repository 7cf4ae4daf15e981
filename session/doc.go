// Package session keeps the rows and states of a sequence in one file, so that a conversation goes on in
// another process as if it had never ended.
//
// [Create] begins a file under a temporary name, and [Writer.Commit] gives it its name when all of it
// is on the disk: whatever interrupts a save, the file of that name is the last whole one. [Open]
// reads header and tokens; rows are read layer by layer when they are wanted, and their checksums are
// compared each time. A [Lock] keeps a second process from the same session. [Export] and [Import]
// exchange rows with other programs, as safetensors in Hugging Face's legacy layout. docs/tiers.md has
// both formats.
package session
