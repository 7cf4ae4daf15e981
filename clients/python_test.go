package clients

import (
	"path/filepath"
	"testing"
)

func TestClientsForPython(t *testing.T) {
	scripts, err := filepath.Glob("python/test_*.py")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	s := start(t)
	for _, script := range scripts {
		t.Run(filepath.Base(script), func(t *testing.T) { s.python(t, filepath.Base(script)) })
	}
}
