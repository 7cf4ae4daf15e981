//go:build !amd64

package product

import "unsafe"

// hasPackWords reports whether there is code for packWords, which is for amd64.
func hasPackWords() bool { return false }

// packWords is not called.
func packWords(_, _ unsafe.Pointer, _, _ int64, _ uint32) {}
