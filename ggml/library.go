package ggml

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/ebitengine/purego"
)

// Version is the version of ggml that the project fetches and is tested with.
const Version = "0.25.1"

// accepted says which versions Load takes: structs and op parameters are read
// and written in place, and ggml changes them between minor versions.
const accepted = "0.25.x"

// ErrNoLibrary reports that libggml was not found. The error that wraps it
// names every place tried and the command that fetches the library.
var ErrNoLibrary = errors.New("ggml: libraries not found")

// Library is the loaded libggml. It is never unloaded, and it may be used from
// several goroutines.
type Library struct {
	dir     string
	version string
	log     *logTail
	devices []*Device
}

// Load finds and loads libggml and its backends. That happens once a process:
// later calls return the first call's result. Concurrent calls are allowed.
func Load() (*Library, error) { return load() }

var load = sync.OnceValues(func() (*Library, error) { return open(SearchPath()) })

// SearchPath returns the directories that Load looks in, in order: EBB_GGML
// alone if it is set, else the user's cache folder, the executable's own folder
// and the system's library folders.
func SearchPath() []string {
	if dir := os.Getenv("EBB_GGML"); dir != "" {
		return []string{dir}
	}
	var dirs []string
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, "ebb", "ggml", Version))
	}
	if exe, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		dirs = append(dirs, filepath.Dir(exe))
	}
	return append(dirs, systemDirs()...)
}

func systemDirs() []string {
	switch runtime.GOOS {
	case "darwin":
		return append(filepath.SplitList(os.Getenv("DYLD_LIBRARY_PATH")), "/opt/homebrew/lib", "/usr/local/lib")
	case "linux":
		triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
		return append(filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")),
			"/usr/local/lib", filepath.Join("/usr/lib", triplet), "/usr/lib64", "/usr/lib")
	default:
		return nil
	}
}

// files are the two libraries that are loaded by name; backends are loaded by
// ggml itself from the same directory.
type files struct{ dir, base, registry string }

// find returns the first of dirs that holds ggml.
func find(dirs []string) (files, error) {
	// The registry is libggml.so, or libggml.<flavour>.<version>.so as packages
	// that hold several flavours name it.
	baseNames, registryNames := []string{"libggml-base.so*"}, []string{"libggml.so*", "libggml.*.so"}
	if runtime.GOOS == "darwin" {
		baseNames, registryNames = []string{"libggml-base*.dylib"}, []string{"libggml.dylib", "libggml.*.dylib"}
	}
	for _, dir := range dirs {
		base, registry := first(dir, baseNames), first(dir, registryNames)
		if base != "" && registry != "" {
			return files{dir, base, registry}, nil
		}
	}
	return files{}, fmt.Errorf("%w: looked for libggml-base and libggml in:\n\t%s\nfetch them with `make libs`, or set EBB_GGML to a directory that holds ggml %s",
		ErrNoLibrary, strings.Join(dirs, "\n\t"), accepted)
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

func open(dirs []string) (*Library, error) {
	f, err := find(dirs)
	if err != nil {
		return nil, err
	}
	// ggml's handler for uncaught C++ exceptions starts a debugger, which can
	// take minutes. It reads this variable while it is loaded.
	if err := setCEnv("GGML_NO_BACKTRACE", "1"); err != nil {
		return nil, err
	}
	base, err := openLibrary(f.base)
	if err != nil {
		return nil, fmt.Errorf("ggml: load %s: %w", f.base, err)
	}
	registry, err := openLibrary(f.registry)
	if err != nil {
		return nil, fmt.Errorf("ggml: load %s: %w", f.registry, err)
	}
	version, err := baseVersion(base)
	if err != nil {
		return nil, fmt.Errorf("%w, in %s", err, f.base)
	}
	l := &Library{dir: f.dir, version: version, log: new(logTail)}
	if err := c.bind(base, registry); err != nil {
		return nil, fmt.Errorf("%w, in %s", err, f.dir)
	}
	c.LogSet(purego.NewCallback(l.log.add), 0)
	c.SetAbortCallback(purego.NewCallback(reportAbort))
	c.LoadAllFromPath(f.dir)
	for i := range c.DevCount() {
		l.devices = append(l.devices, newDevice(l, c.DevGet(i)))
	}
	if l.cpu() == nil {
		return nil, fmt.Errorf("ggml: no CPU backend in %s: %s", f.dir, l.log.last())
	}
	return l, nil
}

// baseVersion returns the version of the loaded base library, or an error if it
// is not accepted.
func baseVersion(base uintptr) (string, error) {
	address, err := symbol(base, "ggml_version")
	if err != nil {
		return "", fmt.Errorf("ggml: found a version that does not name itself, want %s (such as %s)", accepted, Version)
	}
	var version func() string
	purego.RegisterFunc(&version, address)
	found := version()
	return found, checkVersion(found)
}

// checkVersion refuses every version but 0.25.x.
func checkVersion(found string) error {
	rest, ok := strings.CutPrefix(found, "0.25.")
	if !ok || rest == "" {
		return fmt.Errorf("ggml: found version %s, want %s (such as %s)", found, accepted, Version)
	}
	return nil
}

// reportAbort prints why ggml is about to abort the process; nothing can stop it.
func reportAbort(message uintptr) {
	fmt.Fprintf(os.Stderr, "ggml: abort: %s\n", goString(message))
}

// Dir returns the directory that the library was loaded from.
func (l *Library) Dir() string { return l.dir }

// Version returns the library's version.
func (l *Library) Version() string { return l.version }

// Devices returns the devices of this machine, in ggml's order.
func (l *Library) Devices() []*Device { return append([]*Device(nil), l.devices...) }

// Device returns the device of that name; case does not matter.
func (l *Library) Device(name string) (*Device, error) {
	var names []string
	for _, d := range l.devices {
		if strings.EqualFold(d.name, name) {
			return d, nil
		}
		names = append(names, d.name)
	}
	hint := ""
	if strings.HasPrefix(strings.ToLower(name), "vulkan") && !strings.Contains(strings.Join(names, " "), "vulkan") {
		hint = "; for Mesa's software driver set GGML_VK_VISIBLE_DEVICES=0 in the environment"
	}
	return nil, fmt.Errorf("ggml: no device %q, the devices are %s%s", name, strings.Join(names, ", "), hint)
}

// cpu returns the CPU device, which every library has.
func (l *Library) cpu() *Device {
	for _, d := range l.devices {
		if d.typ == CPU {
			return d
		}
	}
	return nil
}

// logTail keeps the last warnings and errors that ggml logged, for errors to
// quote. Everything else that ggml logs is dropped.
type logTail struct {
	mu    sync.Mutex
	lines []string
}

const (
	logWarn  = 3
	logError = 4
	logKept  = 4
)

// add is ggml's log callback. ggml calls it from threads of its own too.
func (t *logTail) add(level int32, text, _ uintptr) {
	if level != logWarn && level != logError {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == logKept {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, strings.TrimSpace(goString(text)))
}

// last returns the kept lines, the newest last, for the end of an error.
func (t *logTail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return "ggml logged nothing"
	}
	return "ggml's last lines: " + strings.Join(t.lines, "; ")
}
