package llama

import (
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// logError is GGML_LOG_LEVEL_ERROR.
const logError = 4

// log keeps the first error that libllama reports, the only place where it says
// why a call failed. It is safe for concurrent use.
type log struct {
	loading sync.Mutex // held while a file is loaded, so that the line is its own

	mu   sync.Mutex
	line string
}

// quiet sends what libllama logs to l.log instead of standard error.
// llama_log_set takes ggml's callback along, so that one is put back.
func (l *library) quiet() {
	var callback, user uintptr
	l.ggmlLogGet(&callback, &user)
	l.logSet(purego.NewCallback(l.log.add), 0)
	l.ggmlLogSet(callback, user)
}

// add is called by libllama, on any of its threads, with a C string.
func (g *log) add(level int32, text *byte, _ uintptr) {
	if level != logError {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.line == "" {
		g.line = strings.TrimSpace(goString(text))
	}
}

// during runs f and returns the first error that libllama reported meanwhile:
// it names the cause, and those after it the callers.
func (g *log) during(f func()) string {
	g.loading.Lock()
	defer g.loading.Unlock()
	g.take()
	f()
	return g.take()
}

// take empties the log and returns its line.
func (g *log) take() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	line := g.line
	g.line = ""
	return line
}

// goString copies the C string at p.
func goString(p *byte) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}
