package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// A client that stops reading its stream holds nobody: its answer is computed to its end, its place in the
// queue and its sequence are given back while the handler still waits for it, and others are answered. When the
// server's patience ends, the handler ends, and the answer, if it is still computed.
func TestWhoStopsReadingHoldsNobody(t *testing.T) {
	model := servicetest.WriteModel(t)
	says := func(l *tiny) Loaded {
		return &scripted{l, &servicetest.Script{Answerer: l.Service, Answers: func(service.Request) string { return words(1, 1600) }}}
	}
	for path, body := range endpoints {
		for _, patience := range []time.Duration{time.Hour, 50 * time.Millisecond} {
			t.Run(strings.ReplaceAll(path, "/", "-")+" "+patience.String(), func(t *testing.T) {
				r := startWith(t, model, ebb.Options{Context: 2048}, service.Options{Queue: 1}, Options{Patience: patience}, says,
					func(c net.Conn) { _ = c.(*net.TCPConn).SetWriteBuffer(1) }) //nolint:forcetypeassert // it was dialled so
				defer r.close()
				c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))            // against tests that hang
				if err := c.(*net.TCPConn).SetReadBuffer(1); err != nil { //nolint:forcetypeassert // it was dialled so
					t.Fatal(err)
				}
				const more = 1500
				text := body("hello", more, true)
				if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", path, len(text), text); err != nil {
					t.Fatal(err)
				}
				from := bufio.NewReaderSize(c, 16)
				response, err := http.ReadResponse(from, nil)
				if err != nil || response.StatusCode != http.StatusOK {
					t.Fatalf("%+v, %v", response, err)
				}
				eventually(t, func() bool { s := r.tiny.Stats(); return s.Requests == 0 && s.Answers == 1 }, "who stops reading holds what computes")
				if got := r.tokens.Load(); patience == time.Hour && got < more {
					t.Errorf("steps have computed %d tokens; want %d at least", got, more)
				}
				for _, kept := range r.tiny.Conversations("") {
					if kept.Busy {
						t.Errorf("the conversation is busy: %+v", kept)
					}
				}
				if text, _, _ := r.complete("", "hello", 5); text == "" {
					t.Error("another client is not answered")
				}
				if patience == time.Hour {
					if n := r.server.state.count(); n != 1 {
						t.Errorf("%d handlers are left; want the one of the client that may read on", n)
					}
					_ = c.Close()
				}
				eventually(t, func() bool { return r.server.state.count() == 0 }, "the handler waits for a client that reads nothing")
				if patience == time.Hour {
					return
				}
				_ = c.(*net.TCPConn).SetReadBuffer(1 << 20) //nolint:forcetypeassert // it was dialled so
				if _, err := io.Copy(io.Discard, response.Body); err == nil {
					t.Error("a stream that was cut looks whole")
				}
			})
		}
	}
}
