//go:build darwin || linux

package dl

import (
	"fmt"
	"os"

	"github.com/ebitengine/purego"
)

// Open loads a shared library and those that it depends on. Libraries that are loaded later find
// the functions of a global one.
func Open(file string, global bool) (Library, error) {
	mode := purego.RTLD_NOW | purego.RTLD_LOCAL
	if global {
		mode = purego.RTLD_NOW | purego.RTLD_GLOBAL
	}
	handle, err := purego.Dlopen(file, mode)
	return Library(handle), err
}

// Symbol returns the address of a function of the library, or of one that it depends on.
func (l Library) Symbol(name string) (uintptr, error) {
	return purego.Dlsym(uintptr(l), name)
}

// Setenv sets a variable in C's environment, which os.Setenv does not reach in a program without
// cgo. A variable that the user set keeps its value.
func Setenv(name, value string) error {
	if _, ok := os.LookupEnv(name); ok {
		return nil
	}
	address, err := purego.Dlsym(purego.RTLD_DEFAULT, "setenv")
	if err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	var setenv func(name, value string, overwrite int32) int32
	purego.RegisterFunc(&setenv, address)
	if setenv(name, value, 0) != 0 {
		return fmt.Errorf("set %s: setenv failed", name)
	}
	return nil
}

// Close unloads a library unless something else has loaded it too.
func (l Library) Close() { _ = purego.Dlclose(uintptr(l)) } // it fails for handles that are none
