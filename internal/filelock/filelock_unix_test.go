//go:build unix

package filelock_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/internal/filelock"
)

func TestASecondOpeningFindsTheLockTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		t.Helper()
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first, second := open(), open()
	defer func() { _ = second.Close() }()
	if ok, err := filelock.Try(first); !ok || err != nil {
		t.Fatalf("first: %t, %v", ok, err)
	}
	if ok, err := filelock.Try(second); ok || err != nil {
		t.Errorf("second: %t, %v; want false", ok, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if ok, err := filelock.Try(second); !ok || err != nil {
		t.Errorf("second, after the first was closed: %t, %v", ok, err)
	}
}
