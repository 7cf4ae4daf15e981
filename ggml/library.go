package ggml

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/ebitengine/purego"

	"github.com/seed4d217819/ebb/internal/dl"
	"github.com/seed4d217819/ebb/internal/memory"
)

// Version is the version of ggml that the project is developed and tested with.
const Version = "0.25.1"

// accepted are the versions that Load accepts. This package reads and writes structs and the
// parameters of operations in place, and ggml changes them between minor versions, so a version is
// added once its headers were compared and the tests of this package passed with it. 0.23.0 is the
// newest version that is published ready-built for macOS and Windows.
const accepted = "0.25.x or 0.23.x"

// ErrNoLibrary reports that libggml was not found. The error that wraps it names every place tried
// and the command that fetches the library.
var ErrNoLibrary = errors.New("ggml: libraries not found")

// Library is the loaded libggml. It is never unloaded, and it may be used from several goroutines.
type Library struct {
	dir     string
	version string
	handles []dl.Library // base and registry
	log     *logTail

	mu       sync.Mutex
	devices  []*Device
	unloaded []string // the libraries of backends that are loaded when a device of theirs may be asked for
}

// Load finds and loads libggml with the CPU's backend, once in a process: later calls return the
// first call's result. The backends of GPUs, with their drivers, are loaded when Devices is called,
// or Device with a name that is not the CPU's. On Linux it makes glibc's allocator give back large
// blocks when they are freed, for the whole process. Concurrent calls are allowed.
func Load() (*Library, error) { return load() }

var load = sync.OnceValues(func() (*Library, error) { return open(SearchPath()) })

func open(dirs []string) (*Library, error) {
	f, err := thisSystem().find(dirs)
	if err != nil {
		return nil, err
	}
	// ggml's handler for uncaught C++ exceptions starts a debugger, which can take minutes. It
	// reads this variable while it is loaded.
	if err := dl.Setenv("GGML_NO_BACKTRACE", "1"); err != nil {
		return nil, fmt.Errorf("ggml: %w", err)
	}
	memory.Settle()
	base, err := dl.Open(f.base, true) // global: the backends find its functions by name
	if err != nil {
		return nil, fmt.Errorf("ggml: load %s: %w", f.base, err)
	}
	registry, err := dl.Open(f.registry, true)
	if err != nil {
		return nil, fmt.Errorf("ggml: load %s: %w", f.registry, err)
	}
	version, err := baseVersion(base)
	if err != nil {
		return nil, fmt.Errorf("%w, in %s", err, f.base)
	}
	l := &Library{dir: f.dir, version: version, handles: []dl.Library{base, registry}, log: new(logTail)}
	if err := c.bind(l.Symbol); err != nil {
		return nil, fmt.Errorf("%w, in %s", err, f.dir)
	}
	c.LogSet(purego.NewCallback(l.log.add), 0)
	c.SetAbortCallback(purego.NewCallback(reportAbort))
	l.loadCPU()
	if l.cpuDevice() == nil {
		return nil, fmt.Errorf("ggml: no CPU backend in %s: %s", f.dir, l.log.last())
	}
	return l, nil
}

// baseVersion returns the version of the loaded base library, or an error if it is not accepted.
func baseVersion(base dl.Library) (string, error) {
	address, err := base.Symbol("ggml_version")
	if err != nil {
		return "", fmt.Errorf("ggml: the library does not name its version: want %s (such as %s)", accepted, Version)
	}
	var version func() string
	purego.RegisterFunc(&version, address)
	found := version()
	return found, checkVersion(found)
}

// checkVersion refuses each version that is not accepted.
func checkVersion(found string) error {
	for _, series := range []string{"0.25.", "0.23."} {
		if patch, ok := strings.CutPrefix(found, series); ok && patch != "" {
			return nil
		}
	}
	return fmt.Errorf("ggml: found version %s, want %s (such as %s)", found, accepted, Version)
}

// reportAbort prints why ggml is about to abort the process, which nothing can stop. Its result
// means nothing, but a callback on Windows must have one.
func reportAbort(message uintptr) uintptr {
	fmt.Fprintf(os.Stderr, "ggml: abort: %s\n", goString(message))
	return 0
}

// Symbol returns the address of one of libggml's C functions, for packages that bind functions
// which this package does not.
func (l *Library) Symbol(name string) (uintptr, error) {
	for _, handle := range l.handles {
		if address, err := handle.Symbol(name); err == nil {
			return address, nil
		}
	}
	return 0, fmt.Errorf("ggml: the library has no function %s", name)
}

// Dir returns the directory that the library was loaded from.
func (l *Library) Dir() string { return l.dir }

// Version returns the library's version.
func (l *Library) Version() string { return l.version }

// Devices returns the devices of this machine in ggml's order, the CPU last. It loads the drivers of
// GPUs.
func (l *Library) Devices() []*Device {
	l.loadOthers()
	return l.listed()
}

// listed returns the devices of the backends that are loaded.
func (l *Library) listed() []*Device {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.devices)
}

// Device returns the device of that name; case does not matter. Unless it is the CPU, the drivers
// of GPUs are loaded.
func (l *Library) Device(name string) (*Device, error) {
	named := func(d *Device) bool { return strings.EqualFold(d.name, name) }
	all := l.listed()
	if !slices.ContainsFunc(all, named) {
		all = l.Devices()
	}
	if i := slices.IndexFunc(all, named); i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, d := range all {
		names = append(names, d.name)
	}
	hint := ""
	if strings.HasPrefix(strings.ToLower(name), "vulkan") && !strings.Contains(strings.Join(names, " "), "vulkan") {
		hint = "; for Mesa's software driver set GGML_VK_VISIBLE_DEVICES=0 in the environment"
	}
	return nil, fmt.Errorf("ggml: no device %q: the devices are %s%s", name, strings.Join(names, ", "), hint)
}

// cpu returns the CPU device, which every library has.
func (l *Library) cpu() *Device {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cpuDevice()
}

// cpuDevice returns the CPU device, or nil. The caller holds the lock, or is the only one to know
// the library.
func (l *Library) cpuDevice() *Device {
	for _, d := range l.devices {
		if d.typ == CPU {
			return d
		}
	}
	return nil
}

// logTail keeps the last warnings and errors that ggml logged, for errors to quote. Everything else
// that ggml logs is dropped.
type logTail struct {
	mu    sync.Mutex
	lines []string
}

const (
	logWarn  = 3
	logError = 4
	logKept  = 4
)

// add is ggml's log callback, which ggml may also call from threads of its own. Its result means
// nothing, but a callback on Windows must have one.
func (t *logTail) add(level int32, text, _ uintptr) uintptr {
	if level != logWarn && level != logError {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == logKept {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, strings.TrimSpace(goString(text)))
	return 0
}

// last returns the lines that it kept, the newest last, for the end of an error.
func (t *logTail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return "ggml logged nothing"
	}
	return "ggml's last lines: " + strings.Join(t.lines, "; ")
}
