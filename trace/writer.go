package trace

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Writer writes spans as they come, in the JSON Array Format of Chrome's Trace Event Format:
// complete events ("ph": "X"), and metadata events ("M") that name the tracks. The file can be
// opened even if the program ends before Close: the format allows the end of the array to be
// missing.
//
// Writing a span takes a few microseconds; the buffer has 64 KiB. A Writer may be used from several
// goroutines at once.
type Writer struct {
	began time.Time

	mu     sync.Mutex
	w      *bufio.Writer
	tracks map[track]int
	events int
	err    error // what ended the writing
	closed bool
}

// track names a track by its device.
type track struct {
	device string
	kind   Track
}

// event is one element of the array. Times are microseconds.
type event struct {
	Phase    string         `json:"ph"`
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	Start    float64        `json:"ts"`
	Duration *float64       `json:"dur,omitempty"`
	Args     map[string]any `json:"args,omitempty"`
}

// NewWriter begins an array. Times count from now, and viewers show the name above the tracks.
// Errors of w are returned by Close.
func NewWriter(w io.Writer, name string) *Writer {
	t := &Writer{began: time.Now(), w: bufio.NewWriterSize(w, 64<<10), tracks: map[track]int{}}
	t.write(event{Phase: "M", Name: "process_name", Args: map[string]any{"name": name}})
	return t
}

// Add writes a span. It is a [Func]. After an error, and after Close, it does nothing.
func (t *Writer) Add(s Span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	e := event{
		Phase: "X", Name: s.Name, Category: s.Track.String(), Thread: t.number(track{s.Device, s.Track}),
		Start: microseconds(s.Start.Sub(t.began)), Args: map[string]any{},
	}
	took := microseconds(s.End.Sub(s.Start))
	e.Duration = &took
	if s.Layer >= 0 {
		e.Name = fmt.Sprintf("%s %d", s.Name, s.Layer)
		e.Args["layer"] = s.Layer
	}
	if s.Tokens > 0 {
		e.Args["tokens"] = s.Tokens
	}
	if s.Bytes > 0 {
		e.Args["bytes"] = s.Bytes
	}
	t.write(e)
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// number returns the number that stands for a track in the file. A new track is named; viewers
// order tracks by their kinds.
func (t *Writer) number(k track) int {
	n, ok := t.tracks[k]
	if ok {
		return n
	}
	n = len(t.tracks) + 1
	t.tracks[k] = n
	name := k.kind.String()
	if k.device != "" {
		name = k.device + " " + name
	}
	t.write(event{Phase: "M", Name: "thread_name", Thread: n, Args: map[string]any{"name": name}})
	t.write(event{Phase: "M", Name: "thread_sort_index", Thread: n, Args: map[string]any{"sort_index": int(k.kind)}})
	return n
}

// write adds an event to the array.
func (t *Writer) write(e event) {
	if t.err != nil {
		return
	}
	e.Process = 1
	text, err := json.Marshal(e)
	if err != nil {
		t.err = fmt.Errorf("trace: %w", err)
		return
	}
	before := ",\n"
	if t.events == 0 {
		before = "[\n"
	}
	t.events++
	_, err = t.w.WriteString(before)
	_, err2 := t.w.Write(text)
	t.keep(err, err2)
}

// keep remembers the first errors of writing.
func (t *Writer) keep(errs ...error) {
	if err := errors.Join(errs...); err != nil && t.err == nil {
		t.err = fmt.Errorf("trace: %w", err)
	}
}

// Close ends the array and returns the error that ended writing early, if there was one. It does
// not close the underlying writer. It may be called twice.
func (t *Writer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed && t.err == nil {
		_, err := t.w.WriteString("\n]\n")
		t.keep(err, t.w.Flush())
	}
	t.closed = true
	return t.err
}
