package openai_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/server/openai"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// sunk is a response that counts events and keeps nothing.
type sunk struct {
	header http.Header
	events int
}

func (s *sunk) Header() http.Header { return s.header }
func (s *sunk) WriteHeader(int)     {}
func (s *sunk) Flush()              {}

func (s *sunk) SetWriteDeadline(time.Time) error { return nil }

func (s *sunk) Write(data []byte) (int, error) {
	s.events += bytes.Count(data, []byte("data: "))
	return len(data), nil
}

// A token of a stream leaves little to the garbage collector, which takes cores from the step that is being
// computed: the text and the JSON of its event, and what spells the token.
func TestATokenOfAStreamLeavesLittleGarbage(t *testing.T) {
	mux := http.NewServeMux()
	openai.New(service.Only(&servicetest.Script{
		Answerer: servicetest.Open(t, ebb.Options{Context: 2048}, service.Options{}),
		Answers:  func(service.Request) string { return strings.Repeat("word ", 400) },
	}), wire.Options{}).Register(mux)
	objects := func(tokens int) (n, events float64) {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(fmt.Sprintf(`{%s, "stream": true, "max_tokens": %d}`, hi, tokens)))
		w := &sunk{header: http.Header{}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		mux.ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		return float64(after.Mallocs - before.Mallocs), float64(w.events)
	}
	const few, many = 100, 900
	objects(many) // what is done once, also for each token of the vocabulary
	more, all := objects(many)
	less, first := objects(few)
	if got := all - first; got < (many-few)*3/4 {
		t.Fatalf("%d tokens more are %v events more: the test shows nothing", many-few, got)
	}
	if got := (more - less) / (many - few); got > 15 {
		t.Errorf("a token leaves %.1f objects, want at most 15", got)
	}
}
