package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// DefaultPatience is for how long by default a client may read nothing while something is written.
const DefaultPatience = time.Minute

// Stream is a body that is written event by event. One goroutine uses it. After an error nothing more is
// written: the client has gone away, or does not read.
type Stream struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	kind     string // its Content-Type
	patience time.Duration
	begun    bool
	err      error // that a write has ended with
	buf      bytes.Buffer
}

// NewEvents returns a response of server-sent events. Its header is sent with the first of them. patience is
// how long a write may take; 0: [DefaultPatience].
func NewEvents(w http.ResponseWriter, patience time.Duration) *Stream {
	return newStream(w, "text/event-stream; charset=utf-8", patience)
}

// NewLines returns a response of lines of JSON, as [NewEvents] does one of events.
func NewLines(w http.ResponseWriter, patience time.Duration) *Stream {
	return newStream(w, "application/x-ndjson", patience)
}

func newStream(w http.ResponseWriter, kind string, patience time.Duration) *Stream {
	return &Stream{w: w, control: http.NewResponseController(w), kind: kind, patience: patienceOr(patience)}
}

// Begun reports whether the header is sent, or cannot be: an error has no status any more. That of nil is
// not.
func (s *Stream) Begun() bool { return s != nil && s.begun }

// Lost reports whether a write has ended with an error.
func (s *Stream) Lost() bool { return s != nil && s.err != nil }

// Begin sends the header, if it is not sent yet.
func (s *Stream) Begin() error {
	if s.begun {
		return nil
	}
	return s.flush()
}

// head writes the header.
func (s *Stream) head() {
	h := s.w.Header()
	h.Set("Content-Type", s.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx passes each event on at once
	s.w.WriteHeader(http.StatusOK)
}

// Event sends an event whose data is v as JSON. name is its type; "": none. There is never an id:
// openai-python fails at the blank line after one.
func (s *Stream) Event(name string, v any) error {
	if name != "" {
		s.buf.WriteString("event: " + name + "\n")
	}
	s.buf.WriteString("data: ")
	if err := encode(&s.buf, v); err != nil { // a line: JSON has no line breaks but the last
		s.buf.Reset()
		return err
	}
	s.buf.WriteByte('\n')
	return s.flush()
}

// Text sends an event whose data is a text of one line.
func (s *Stream) Text(data string) error {
	s.buf.WriteString("data: " + data + "\n\n")
	return s.flush()
}

// Line sends v as a line of JSON.
func (s *Stream) Line(v any) error {
	if err := encode(&s.buf, v); err != nil {
		s.buf.Reset()
		return err
	}
	return s.flush()
}

// flush sends what is written.
func (s *Stream) flush() error {
	if s.err == nil {
		s.err = s.write()
	}
	s.buf.Reset()
	return s.err
}

func (s *Stream) write() error {
	begins := !s.begun
	s.begun = true
	if err := deadline(s.control, s.patience); err != nil {
		return err
	}
	if begins {
		s.head()
	}
	if s.buf.Len() > 0 {
		if _, err := s.w.Write(s.buf.Bytes()); err != nil {
			return err
		}
	}
	return s.control.Flush()
}

// JSON writes a whole response. A client that does not read it within [DefaultPatience] loses it.
func JSON(w http.ResponseWriter, status int, v any) error {
	var buf bytes.Buffer
	if err := encode(&buf, v); err != nil {
		return err
	}
	if err := deadline(http.NewResponseController(w), DefaultPatience); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write(buf.Bytes())
	return err
}

// encode writes v as JSON and a line break. Characters that mean something in HTML stay as they are.
func encode(buf *bytes.Buffer, v any) error {
	e := json.NewEncoder(buf)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Patient returns a response of which each part has [DefaultPatience] in which the client has to read it.
func Patient(w http.ResponseWriter) http.ResponseWriter { return patient{w} }

type patient struct{ http.ResponseWriter }

// Write writes a part.
func (p patient) Write(data []byte) (int, error) {
	if err := deadline(http.NewResponseController(p.ResponseWriter), DefaultPatience); err != nil {
		return 0, err
	}
	return p.ResponseWriter.Write(data)
}

// deadline sets until when writes to a connection may take, if it has deadlines: recorders of tests
// have none.
func deadline(c *http.ResponseController, patience time.Duration) error {
	err := c.SetWriteDeadline(time.Now().Add(patience))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

func patienceOr(patience time.Duration) time.Duration {
	if patience == 0 {
		return DefaultPatience
	}
	return patience
}
