//go:build !unix

package disk

import "os"

// create makes a file.
func create(dir string) (*os.File, error) { return os.CreateTemp(dir, pattern) }

// remove removes a file's name.
func remove(name string) error { return os.Remove(name) }

// alignedBytes returns ordinary memory: nothing here asks for more.
func alignedBytes(n int64) (b []byte, free func(), err error) {
	return make([]byte, n), func() {}, nil
}
