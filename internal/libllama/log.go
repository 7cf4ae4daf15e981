package libllama

import (
	"errors"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// logError is GGML_LOG_LEVEL_ERROR.
const logError = 4

// log keeps the first error that libllama reports: its log is the only place where libllama says
// why a call failed. It may be used from several goroutines at once.
type log struct {
	calling sync.Mutex // held during a call whose reports are wanted, so that the line is about that call

	mu   sync.Mutex
	line string
}

// quiet sends what libllama logs to l.log instead of standard error. llama_log_set also replaces
// ggml's callback, so quiet restores that one.
func (l *Library) quiet() {
	var callback, user uintptr
	l.ggmlLogGet(&callback, &user)
	l.logSet(purego.NewCallback(l.log.add), 0)
	l.ggmlLogSet(callback, user)
}

// add is called by libllama, on any of its threads, with a C string. Its result means nothing, but
// a callback on Windows must have one.
func (g *log) add(level int32, text *byte, _ uintptr) uintptr {
	if level != logError {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.line == "" {
		g.line = strings.TrimSpace(goString(text))
	}
	return 0
}

// Reported runs f, a call into libllama that failed if its result says so, and returns the first
// error that libllama reported meanwhile: the first names the cause, and later ones name the
// callers. It returns an error even if libllama reported none, for a caller that knows of a
// failure.
func (l *Library) Reported(f func()) error {
	g := &l.log
	g.calling.Lock()
	defer g.calling.Unlock()
	g.take()
	f()
	if line := g.take(); line != "" {
		return errors.New(line)
	}
	return errors.New("libllama gave no reason")
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
