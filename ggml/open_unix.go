//go:build darwin || linux

package ggml

import (
	"fmt"
	"os"

	"github.com/ebitengine/purego"
)

// openLibrary loads a shared library for the rest of the process.
func openLibrary(file string) (uintptr, error) {
	// Global, because the backends are found by name in the base library.
	return purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_GLOBAL)
}

func symbol(library uintptr, name string) (uintptr, error) {
	return purego.Dlsym(library, name)
}

// setCEnv sets a variable in C's environment, which os.Setenv does not reach in
// a program without cgo. A variable that the user set stays.
func setCEnv(name, value string) error {
	if _, ok := os.LookupEnv(name); ok {
		return nil
	}
	address, err := purego.Dlsym(purego.RTLD_DEFAULT, "setenv")
	if err != nil {
		return fmt.Errorf("ggml: set %s: %w", name, err)
	}
	var setenv func(name, value string, overwrite int32) int32
	purego.RegisterFunc(&setenv, address)
	if setenv(name, value, 0) != 0 {
		return fmt.Errorf("ggml: set %s: setenv failed", name)
	}
	return nil
}
