package ggml

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// system is what the search for the libraries depends on.
type system struct {
	os, arch string // as in GOOS and GOARCH
	env      func(name string) string
	cache    string // the user's cache folder; "" if there is none
	exe      string // the folder of the executable; "" if it is unknown
}

// thisSystem returns the system that the program runs on.
func thisSystem() system {
	s := system{os: runtime.GOOS, arch: runtime.GOARCH, env: os.Getenv}
	if cache, err := os.UserCacheDir(); err == nil {
		s.cache = cache
	}
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		s.exe = filepath.Dir(exe)
	}
	return s
}

// SearchPath returns the directories that Load looks in, in order: EBB_GGML alone if it is set;
// otherwise the user's cache folder, the executable's own folder, and the system's library folders.
func SearchPath() []string { return thisSystem().searchPath() }

// Holds reports whether a directory holds the libraries of ggml, of whatever version.
func Holds(dir string) bool {
	_, err := thisSystem().find([]string{dir})
	return err == nil
}

func (s system) searchPath() []string {
	if dir := s.env("EBB_GGML"); dir != "" {
		return []string{dir}
	}
	var dirs []string
	if s.cache != "" {
		dirs = append(dirs, filepath.Join(s.cache, "ebb", "ggml", s.fetched()))
	}
	if s.exe != "" {
		dirs = append(dirs, s.exe)
	}
	return append(dirs, s.libraryDirs()...)
}

// fetched returns the version that `make libs` fetches: the newest accepted version that is
// published for the system.
func (s system) fetched() string {
	if s.os == "darwin" || s.os == "windows" {
		return "0.23.0"
	}
	return Version
}

// libraryDirs returns the folders in which a system keeps libraries. Windows has none for those of
// users.
func (s system) libraryDirs() []string {
	switch s.os {
	case "darwin":
		return append(filepath.SplitList(s.env("DYLD_LIBRARY_PATH")), "/opt/homebrew/lib", "/usr/local/lib")
	case "linux":
		triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[s.arch]
		return append(filepath.SplitList(s.env("LD_LIBRARY_PATH")),
			"/usr/local/lib", filepath.Join("/usr/lib", triplet), "/usr/lib64", "/usr/lib")
	default:
		return nil
	}
}

// patterns returns the file names of the base library and of the registry. The registry is
// libggml.so, or libggml.<flavour>.<version>.so in packages that hold several flavours.
func (s system) patterns() (base, registry []string) {
	switch s.os {
	case "darwin":
		return []string{"libggml-base*.dylib"}, []string{"libggml.dylib", "libggml.*.dylib"}
	case "windows":
		return []string{"ggml-base.dll"}, []string{"ggml.dll", "ggml.*.dll"}
	default:
		return []string{"libggml-base.so*"}, []string{"libggml.so*", "libggml.*.so"}
	}
}

// files are the two libraries that are loaded by name. ggml itself loads the backends, from the
// same directory.
type files struct{ dir, base, registry string }

// find returns the first of dirs that holds ggml.
func (s system) find(dirs []string) (files, error) {
	basePatterns, registryPatterns := s.patterns()
	for _, dir := range dirs {
		base, registry := first(dir, basePatterns), first(dir, registryPatterns)
		if base != "" && registry != "" {
			return files{dir, base, registry}, nil
		}
	}
	return files{}, fmt.Errorf("%w: looked for %s and %s in:\n\t%s\nfetch them with `make libs`, or set EBB_GGML to a directory that holds ggml %s",
		ErrNoLibrary, basePatterns[0], registryPatterns[0], strings.Join(dirs, "\n\t"), accepted)
}

// first returns a file of dir that matches one of the patterns, or "".
func first(dir string, patterns []string) string {
	for _, pattern := range patterns {
		names, err := fs.Glob(os.DirFS(dir), pattern)
		if err == nil && len(names) > 0 {
			return filepath.Join(dir, names[0])
		}
	}
	return ""
}
