package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parse reads an array of events as a viewer would.
func parse(t *testing.T, text []byte) (events []event) {
	t.Helper()
	if err := json.Unmarshal(text, &events); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return events
}

func TestEventsAreThoseOfTheTraceEventFormat(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, "a \"name\"")
	at := func(us int) time.Time { return w.began.Add(time.Duration(us) * time.Microsecond) }
	w.Add(Span{Device: "cpu", Track: Compute, Name: "layer", Layer: 7, Tokens: 3, Start: at(10), End: at(12).Add(500 * time.Nanosecond)})
	w.Add(Span{Device: "cpu", Track: Fetch, Name: "fetch", Layer: 0, Bytes: 768, Start: at(20), End: at(20)})
	w.Add(Span{Track: Step, Name: "step", Layer: -1, Tokens: 1, Start: at(9), End: at(30)})
	w.Add(Span{Device: "cpu", Track: Compute, Name: "logits", Layer: -1, Start: at(40), End: at(41)})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	type args = map[string]any
	took := func(us float64) *float64 { return &us }
	meta := func(name string, id int, a args) event {
		return event{Phase: "M", Name: name, Process: 1, Thread: id, Args: a}
	}
	want := []event{
		meta("process_name", 0, args{"name": "a \"name\""}),
		meta("thread_name", 1, args{"name": "cpu compute"}),
		meta("thread_sort_index", 1, args{"sort_index": 1.0}),
		{Phase: "X", Name: "layer 7", Category: "compute", Process: 1, Thread: 1, Start: 10, Duration: took(2.5), Args: args{"layer": 7.0, "tokens": 3.0}},
		meta("thread_name", 2, args{"name": "cpu fetch"}),
		meta("thread_sort_index", 2, args{"sort_index": 2.0}),
		{Phase: "X", Name: "fetch 0", Category: "fetch", Process: 1, Thread: 2, Start: 20, Duration: took(0), Args: args{"layer": 0.0, "bytes": 768.0}},
		meta("thread_name", 3, args{"name": "step"}),
		meta("thread_sort_index", 3, args{"sort_index": 0.0}),
		{Phase: "X", Name: "step", Category: "step", Process: 1, Thread: 3, Start: 9, Duration: took(21), Args: args{"tokens": 1.0}},
		{Phase: "X", Name: "logits", Category: "compute", Process: 1, Thread: 1, Start: 40, Duration: took(1)},
	}
	if diff := cmp.Diff(parse(t, out.Bytes()), want); diff != "" {
		t.Errorf("events (-got +want):\n%s", diff)
	}
}

func TestSpansOfManyGoroutinesAreAllThere(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out, "many")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 { // more than the buffer holds
				w.Add(Span{Name: "span", Layer: i})
			}
		})
	}
	wg.Wait()
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	w.Add(Span{Name: "late"})
	spans := 0
	for _, e := range parse(t, out.Bytes()) {
		if e.Phase == "X" {
			spans++
		}
	}
	if spans != 4*500 {
		t.Errorf("%d spans: want %d", spans, 4*500)
	}
}

// full is a disk with little room.
type full struct {
	room int
	got  bytes.Buffer
}

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return 0, errFull
	}
	f.room -= len(p)
	return f.got.Write(p)
}

func TestFailedWriteIsReportedWhenTheTraceEnds(t *testing.T) {
	disk := &full{room: 100 << 10}
	w := NewWriter(disk, "full")
	for i := range 10_000 {
		w.Add(Span{Name: "span", Layer: i})
	}
	if err := w.Close(); !errors.Is(err, errFull) {
		t.Errorf("error %v: want %v", err, errFull)
	}
	// What was written before is an array without its end, as viewers take it.
	kept := disk.got.String()
	kept = kept[:strings.LastIndex(kept, ",\n")] + "]"
	if events := parse(t, []byte(kept)); len(events) < 100 {
		t.Errorf("%d events are left of a trace that was cut off: want all that fit", len(events))
	}
}
