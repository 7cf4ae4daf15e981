package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/trace"
)

// Timeline is what happened in one step. Package bench/plot draws it.
type Timeline struct {
	Name  string         `json:"name"` // of a file to draw it in, without the ending
	Title string         `json:"title"`
	Spans []TimelineSpan `json:"spans"`
}

// TimelineSpan is a span in seconds since its step began. What was fetched ahead
// for it begins before 0.
type TimelineSpan struct {
	Track string  `json:"track"`
	Name  string  `json:"name"`
	Layer int     `json:"layer"` // -1: none
	Start float64 `json:"start_seconds"`
	End   float64 `json:"end_seconds"`
}

// timeline shows a step of one token with all layers streamed, copied and over a
// link as fast as computing.
func timeline(ctx context.Context, o Options, _ Model) (res Result, err error) {
	s := o.settings()[0]
	copies := ebb.Options{Cache: kv.Offloaded, ForcedCopies: true, Slots: o.Slots}
	t, err := traceStep(ctx, o, s, "copies", copies)
	if err != nil {
		return res, err
	}
	res.addTimeline(t)
	if computing := t.busy[trace.Compute]; o.onCPU() && computing > 0 && t.bytes > 0 {
		copies.Link = float64(t.bytes) / computing
		if t, err = traceStep(ctx, o, s, "link", copies); err != nil {
			return res, err
		}
		res.addTimeline(t)
	}
	return res, nil
}

// addTimeline puts a step into the result, and how busy each track was.
func (r *Result) addTimeline(t traced) {
	r.Timelines = append(r.Timelines, t.Timeline)
	figure := func(name string, value float64, unit string) {
		r.Figures = append(r.Figures, Figure{Workload: "timeline", Name: t.label + ": " + name, Value: value, Unit: unit})
	}
	figure("all of a step", t.seconds*1e3, "ms")
	for _, track := range []trace.Track{trace.Compute, trace.Fetch, trace.Store} {
		figure(track.String(), t.busy[track]*1e3, "ms")
	}
	figure("the longest of the three / all of a step", max(t.busy[trace.Compute], t.busy[trace.Fetch], t.busy[trace.Store])/t.seconds, "")
}

// traced is one step, how long it took, and what its tracks did.
type traced struct {
	Timeline
	label   string
	seconds float64
	busy    map[trace.Track]float64 // seconds within the step, without waits
	bytes   int64                   // fetched
}

// traceStep records steps and returns the one of median length.
func traceStep(ctx context.Context, o Options, s setting, label string, with ebb.Options) (t traced, err error) {
	o.Progress("timeline, " + label)
	var r spans
	with.Context, with.Trace = o.LinkDepth+o.Pace.tokens(), r.add
	a, err := openEbb("timeline, "+label, o, s, with)
	if err != nil {
		return traced{}, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := errors.Join(a.rewind(ctx, o.LinkDepth), settle(ctx)); err != nil {
		return traced{}, err
	}
	for range o.Pace.tokens() {
		if err := a.step(ctx, 1); err != nil {
			return traced{}, err
		}
	}
	all := r.take()
	steps := slices.DeleteFunc(slices.Clone(all), func(s trace.Span) bool { return s.Track != trace.Step || s.Tokens != 1 })
	steps = steps[min(o.Pace.WarmUpSteps, len(steps)-1):]
	slices.SortFunc(steps, func(a, b trace.Span) int { return cmp.Compare(a.End.Sub(a.Start), b.End.Sub(b.Start)) })
	t = traced{
		Timeline: Timeline{
			Name:  "timeline-" + label,
			Title: fmt.Sprintf("One step, %s: depth %d, %v, %d slots", label, o.LinkDepth, s, o.Slots),
		},
		label: label,
	}
	t.cut(all, steps[len(steps)/2])
	return t, nil
}

// cut keeps of all that happened what lies in one step at least in part.
func (t *traced) cut(all []trace.Span, step trace.Span) {
	t.seconds, t.busy = step.End.Sub(step.Start).Seconds(), map[trace.Track]float64{}
	for _, s := range all {
		from, to := s.Start.Sub(step.Start).Seconds(), s.End.Sub(step.Start).Seconds()
		if to <= 0 || from >= t.seconds {
			continue
		}
		label := s.Track.String()
		if s.Device != "" {
			label = s.Device + " " + label
		}
		t.Spans = append(t.Spans, TimelineSpan{Track: label, Name: s.Name, Layer: s.Layer, Start: from, End: to})
		if s.Name != "wait" {
			t.busy[s.Track] += min(to, t.seconds) - max(from, 0)
		}
		if s.Track == trace.Fetch {
			t.bytes += s.Bytes
		}
	}
	slices.SortStableFunc(t.Spans, func(a, b TimelineSpan) int {
		return cmp.Or(cmp.Compare(a.Track, b.Track), cmp.Compare(a.Start, b.Start))
	})
}

// spans keeps what several goroutines tell.
type spans struct {
	mu  sync.Mutex
	all []trace.Span
}

func (s *spans) add(span trace.Span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, span)
}

func (s *spans) take() []trace.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}
