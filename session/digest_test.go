package session

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDigestsAreRememberedUntilTheFileChanges(t *testing.T) {
	d, path := Digests{Dir: filepath.Join(t.TempDir(), "digests")}, filepath.Join(t.TempDir(), "model")
	when := time.Now().Add(-time.Hour)
	write := func(content string, changed time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	want := func(content, why string) {
		t.Helper()
		sum := sha256.Sum256([]byte(content))
		if got, err := d.Files(path); err != nil || got != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: %s, %v; want that of %q", why, got, err, content)
		}
	}
	write("one", when)
	want("one", "first")
	write("two", when)
	want("one", "the same size and time: it is remembered")
	write("two", when.Add(time.Second))
	want("two", "another time")
	write("three", when.Add(time.Second))
	want("three", "another size")
	known, _ := filepath.Glob(filepath.Join(d.Dir, "*"))
	if len(known) != 1 {
		t.Fatalf("remembered: %v; want one file", known)
	}
	if err := os.WriteFile(known[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("three", "what is remembered is damaged")
}

func TestTheDigestOfSeveralFilesDependsOnTheirOrder(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"a", "b"} {
		paths = append(paths, filepath.Join(dir, name))
		if err := os.WriteFile(paths[len(paths)-1], []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ab, err := Digests{}.Files(paths...)
	if err != nil {
		t.Fatal(err)
	}
	ba, err := Digests{}.Files(paths[1], paths[0])
	if err != nil || ab == ba {
		t.Errorf("%s and %s, %v; want others", ab, ba, err)
	}
	if _, err := (Digests{}).Files(filepath.Join(dir, "none")); err == nil {
		t.Error("no file: no error")
	}
}
