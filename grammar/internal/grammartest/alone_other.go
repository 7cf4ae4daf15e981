//go:build !linux

package grammartest

import "testing"

// Alone skips the test: the memory of a process is measured on Linux alone.
func Alone(t *testing.T, _ map[string]string, _ func(name string) error) {
	t.Helper()
	t.Skip("the memory of a process is measured on Linux alone")
}
