package ggml

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ebitengine/purego"

	"github.com/seed4d217819/ebb/internal/dl"
)

// backendFiles are the libraries of backends in a folder, as paths.
type backendFiles struct {
	cpus   []string // the CPU's, one for each set of instructions
	anyCPU string   // the CPU's where there is one for all processors; "" if there is none
	others []string // those of GPUs and accelerators
}

// backendFiles returns the libraries of backends in dir. ggml gives them the ending .so on macOS
// too.
func (s system) backendFiles(dir string) (f backendFiles) {
	prefix, ending := "libggml-", ".so"
	if s.os == "windows" {
		prefix, ending = "ggml-", ".dll"
	}
	names, err := fs.Glob(os.DirFS(dir), prefix+"*"+ending)
	if err != nil {
		return f // the pattern is well-formed
	}
	for _, name := range names {
		path, backend := filepath.Join(dir, name), strings.TrimSuffix(strings.TrimPrefix(name, prefix), ending)
		switch {
		case backend == "base":
		case backend == "cpu":
			f.anyCPU = path
		case strings.HasPrefix(backend, "cpu-"):
			f.cpus = append(f.cpus, path)
		default:
			f.others = append(f.others, path)
		}
	}
	return f
}

// bestCPU returns the CPU's library that is fastest on this processor, as the libraries score
// themselves, or "". The score is 0 where the processor lacks an instruction.
func (f backendFiles) bestCPU() string {
	best, most := f.anyCPU, int32(0)
	for _, path := range f.cpus {
		if score := scoreOf(path); score > most {
			best, most = path, score
		}
	}
	return best
}

// scoreOf loads a library for as long as it takes to ask for its score. It is 0 for a library that
// cannot be loaded or has none.
func scoreOf(path string) int32 {
	library, err := dl.Open(path, false)
	if err != nil {
		return 0
	}
	defer library.Close()
	address, err := library.Symbol("ggml_backend_score")
	if err != nil {
		return 0
	}
	var score func() int32
	purego.RegisterFunc(&score, address)
	return score()
}

// loadCPU loads the CPU's backend alone, so that no driver of a GPU takes memory and time in a
// process that asks for none. Where that gives no CPU, ggml loads whatever it finds.
func (l *Library) loadCPU() {
	if l.addDevices(); l.cpuDevice() != nil {
		return // it is built into ggml, and the other backends are too
	}
	files := thisSystem().backendFiles(l.dir)
	path := files.bestCPU()
	if path == "" || c.LoadBackend(path) == 0 {
		c.LoadAllFromPath(l.dir)
		l.addDevices()
		return
	}
	l.unloaded = files.others
	if path := os.Getenv("GGML_BACKEND_PATH"); path != "" { // ggml's variable for a library elsewhere
		l.unloaded = append(l.unloaded, path)
	}
	l.addDevices()
}

// loadOthers loads the backends that loadCPU left out. One that cannot be loaded is no error: most
// machines lack most drivers. ggml logs why.
func (l *Library) loadOthers() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.unloaded) == 0 {
		return
	}
	for _, path := range l.unloaded {
		c.LoadBackend(path)
	}
	l.unloaded = nil
	l.addDevices()
}

// addDevices lists the devices of the backends that were loaded since the last call. The CPU stays
// the last, as in ggml's own order.
func (l *Library) addDevices() {
	for i := range c.DevCount() {
		ptr := c.DevGet(i)
		if !slices.ContainsFunc(l.devices, func(d *Device) bool { return d.ptr == ptr }) {
			l.devices = append(l.devices, newDevice(l, ptr))
		}
	}
	slices.SortStableFunc(l.devices, func(a, b *Device) int {
		switch {
		case a.typ != CPU && b.typ == CPU:
			return -1
		case a.typ == CPU && b.typ != CPU:
			return 1
		default:
			return 0
		}
	})
}
