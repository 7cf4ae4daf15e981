//go:build !unix

package directio

// SyncDir has nothing to do where folders cannot be synchronised.
func SyncDir(string) error { return nil }
