package rehearsal

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSketchesOfKilledProcessesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"ebb-rehearsal-1.gguf": 2 * abandoned, "ebb-rehearsal-2.gguf": abandoned / 2, "model.gguf": 2 * abandoned,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	sweep(dir, now)
	for name, stays := range map[string]bool{"ebb-rehearsal-1.gguf": false, "ebb-rehearsal-2.gguf": true, "model.gguf": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
			t.Errorf("%s: stays %t, want %t", name, err == nil, stays)
		}
	}
}
