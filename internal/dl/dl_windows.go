package dl

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// Open loads a library and those that it depends on, for which Windows searches the library's own
// folder and the system's. Windows has no global libraries: a library that is loaded later finds
// each one that is already loaded by its file name.
func Open(file string, _ bool) (Library, error) {
	file, err := filepath.Abs(file) // Windows searches the library's own folder only for an absolute path
	if err != nil {
		return 0, err
	}
	const search = windows.LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | windows.LOAD_LIBRARY_SEARCH_DEFAULT_DIRS
	handle, err := windows.LoadLibraryEx(file, 0, search)
	return Library(handle), err
}

// Symbol returns the address of a function of the library itself.
func (l Library) Symbol(name string) (uintptr, error) {
	address, err := windows.GetProcAddress(windows.Handle(l), name)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return address, nil
}

// Setenv sets a variable in the environment that libraries loaded later see. A variable that the
// user set keeps its value.
func Setenv(name, value string) error {
	if _, ok := os.LookupEnv(name); ok {
		return nil
	}
	return os.Setenv(name, value)
}

// Close unloads a library unless something else has loaded it too.
func (l Library) Close() { _ = windows.FreeLibrary(windows.Handle(l)) } // it fails for handles that are none
