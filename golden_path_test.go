package ebb_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/internal/testmodel"
)

// goldenPath returns the path of a golden model's file, which it writes if the model is derived from
// another one.
func goldenPath(t *testing.T, model string) string {
	t.Helper()
	path := modelPath(model)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path = filepath.Join(t.TempDir(), model+".gguf")
	if err := os.WriteFile(path, testmodel.Golden(t, model), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
