//go:build !linux

package measure

// Forget is for Linux, where a file can be dropped from the page cache.
func Forget(string) error { return nil }
