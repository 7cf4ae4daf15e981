package libllama

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLibllamaIsFoundByEachSystemsName(t *testing.T) {
	for _, tt := range []struct{ goos, file, other string }{
		{"linux", "libllama.so", "libllama-common.so"},
		{"linux", "libllama.vulkan.v0.5.0.so", "libllama-common.so"},
		{"darwin", "libllama.metal.v0.4.0.dylib", "libllama-common.dylib"},
		{"windows", "llama.vulkan.v0.4.0.dll", "llama-common.dll"},
		{"windows", "llama.dll", "llama-common.dll"},
	} {
		dir := t.TempDir()
		write := func(name string) {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(tt.other)
		if got, err := find(dir, tt.goos); !errors.Is(err, ErrNoLibrary) {
			t.Errorf("%s: found %q, %v beside %s; want ErrNoLibrary", tt.goos, got, err, tt.other)
		}
		write(tt.file)
		if got, err := find(dir, tt.goos); err != nil || filepath.Base(got) != tt.file {
			t.Errorf("%s: found %q, %v; want %s", tt.goos, got, err, tt.file)
		}
	}
}

func TestOtherVersionsOfLibllamaAreRefused(t *testing.T) {
	for _, v := range []string{"0.5.0", "0.4.0", "0.5.11"} {
		if err := checkVersion(v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	for _, v := range []string{"", "0.3.9", "0.6.0", "0.50.1", "1.5.0"} {
		if err := checkVersion(v); err == nil || !strings.Contains(err.Error(), "needs 0.5.x or 0.4.x") {
			t.Errorf("%q: %v, want an error that names the versions", v, err)
		}
	}
}
