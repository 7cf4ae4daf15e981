//go:build !unix

package product

import "testing"

// guarded returns memory without pages beside it that nothing may read.
func guarded(_ testing.TB, size int, _ guard) []byte { return make([]byte, size) }
