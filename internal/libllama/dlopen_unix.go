//go:build darwin || linux

package libllama

import (
	"runtime"

	"github.com/ebitengine/purego"
)

func fileNames() []string {
	if runtime.GOOS == "darwin" {
		return []string{"libllama.dylib", "libllama.*.dylib"}
	}
	return []string{"libllama.so*", "libllama.*.so"}
}

func dlopen(path string) (uintptr, error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func dlsym(handle uintptr, name string) (uintptr, error) {
	return purego.Dlsym(handle, name)
}
