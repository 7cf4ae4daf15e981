//go:build unix

package gguf_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4d217819/ebb/gguf"
)

func TestAPartThatIsAPipeIsRefusedAtOnce(t *testing.T) {
	const b = "m-00002-of-00002.gguf"
	dir := mix(t, func(p parts) { delete(p, b) }).write(t)
	if err := unix.Mkfifo(filepath.Join(dir, b), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := gguf.Open(filepath.Join(dir, "m-00001-of-00002.gguf"))
		done <- err
	}()
	select {
	case err := <-done:
		if got := errorText(err); !strings.Contains(got, b+" is a special file") {
			t.Errorf("got %s, want an error that names the pipe", got)
		}
	case <-time.After(time.Minute):
		t.Fatal("still waiting for a writer after a minute")
	}
}
