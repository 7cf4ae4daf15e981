package ebb_test

import (
	"cmp"
	"slices"
	"sync"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/trace"
)

// recorder keeps the spans of several goroutines.
type recorder struct {
	mu    sync.Mutex
	spans []trace.Span
}

func (r *recorder) add(s trace.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = append(r.spans, s)
}

// named returns the spans of a name, in the order in which they began.
func (r *recorder) named(name string) (spans []trace.Span) {
	for _, s := range r.spans {
		if s.Name == name {
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b trace.Span) int { return a.Start.Compare(b.Start) })
	return spans
}

// traced generates a few tokens on copied rows over a link, and returns what happened.
func traced(t *testing.T, steps int) *recorder {
	t.Helper()
	r := &recorder{}
	e := place{name: "cpu copies", device: "cpu", copies: true}.open(t, modelPath("tiny-gqa"), ebb.Options{
		Cache: kv.Offloaded, Context: 64, ChunkTokens: 4, Link: 10e6, Trace: r.add,
	})
	s := e.NewSeq()
	forward(t, e, s, prompt(1, 6), 1)
	for i := range steps - 1 {
		forward(t, e, s, prompt(2+i, 1), 1)
	}
	if err := e.Close(); err != nil { // what is fetched ahead has ended then
		t.Fatal(err)
	}
	return r
}

func TestSpansOfATrackFollowEachOther(t *testing.T) {
	const steps, layers = 4, 5
	r := traced(t, steps)
	tracks := map[trace.Track][]trace.Span{}
	for _, s := range r.spans {
		if s.End.Before(s.Start) {
			t.Errorf("%+v ends before it begins", s)
		}
		tracks[s.Track] = append(tracks[s.Track], s)
	}
	if len(tracks) != 4 {
		t.Errorf("%d tracks: want step, compute, fetch and store", len(tracks))
	}
	for track, spans := range tracks {
		slices.SortFunc(spans, func(a, b trace.Span) int {
			return cmp.Or(a.Start.Compare(b.Start), a.End.Compare(b.End))
		})
		for i, s := range spans[1:] {
			if s.Start.Before(spans[i].End) {
				t.Errorf("%v: %q of layer %d begins before %q of layer %d ends", track, s.Name, s.Layer, spans[i].Name, spans[i].Layer)
			}
		}
	}
	for name, want := range map[string]int{
		"step":   steps,
		"embed":  steps + 1, // the prompt has two chunks
		"layer":  (steps + 1) * layers,
		"logits": steps,
		"store":  steps * layers,
	} {
		if got := len(r.named(name)); got != want {
			t.Errorf("%d spans of %q: want %d", got, name, want)
		}
	}
}

func TestSpansShowTheOrderOfAStep(t *testing.T) {
	const steps, layers = 4, 5
	r := traced(t, steps)
	all := r.named("step")
	for i, step := range all {
		within := func(s trace.Span) bool { return !s.Start.Before(step.Start) && !s.End.After(step.End) }
		computed := map[int][]trace.Span{}
		for _, s := range r.named("layer") {
			if within(s) {
				computed[s.Layer] = append(computed[s.Layer], s)
			}
		}
		if len(computed) != layers {
			t.Errorf("step %d: %d layers were computed within it, want %d", i, len(computed), layers)
			continue
		}
		for _, s := range r.named("fetch") {
			if within(s) && s.End.After(computed[s.Layer][0].Start) {
				t.Errorf("step %d: layer %d was computed before its rows had arrived", i, s.Layer)
			}
		}
		for _, s := range r.named("store") {
			if within(s) && s.Start.Before(computed[s.Layer][len(computed[s.Layer])-1].End) {
				t.Errorf("step %d: rows of layer %d were kept before they were computed", i, s.Layer)
			}
		}
		if last := r.named("logits")[i]; !within(last) {
			t.Errorf("step %d: its logits were computed outside of it", i)
		}
	}
	// What a step fetches is what was there before it: 6 tokens of 256 bytes at first (two KV heads
	// of 32 keys and values in f16), and one more each time.
	ahead := append(r.named("fetch"), r.named("fetch ahead")...)
	slices.SortFunc(ahead, func(a, b trace.Span) int { return a.Start.Compare(b.Start) })
	if len(ahead) < layers || ahead[0].Bytes != 6*256 {
		t.Errorf("fetches %+v: want the 6 tokens of the prompt first", ahead)
	}
}
