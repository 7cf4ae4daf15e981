package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/trace"
)

// timeline shows a step of one token with all layers streamed: with copies, and over a link as fast
// as computing.
func timeline(ctx context.Context, o measure.Options, _ measure.Model) (res measure.Result, err error) {
	s := o.Settings()[0]
	copies := ebb.Options{Cache: kv.Offloaded, ForcedCopies: true, Slots: o.Slots}
	t, err := traceStep(ctx, o, s, "copies", copies)
	if err != nil {
		return res, err
	}
	addTimeline(&res, t)
	if computing := t.busy[trace.Compute]; o.OnCPU() && computing > 0 && t.bytes > 0 {
		copies.Link = float64(t.bytes) / computing
		if t, err = traceStep(ctx, o, s, "link", copies); err != nil {
			return res, err
		}
		addTimeline(&res, t)
	}
	return res, nil
}

// addTimeline adds a step to the result, and how busy each track was.
func addTimeline(r *measure.Result, t traced) {
	r.Timelines = append(r.Timelines, t.Timeline)
	figure := func(name string, value float64, unit string) {
		r.Figures = append(r.Figures, measure.Figure{Workload: "timeline", Name: t.label + ": " + name, Value: value, Unit: unit})
	}
	figure("all of a step", t.seconds*1e3, "ms")
	for _, track := range []trace.Track{trace.Compute, trace.Fetch, trace.Store} {
		figure(track.String(), t.busy[track]*1e3, "ms")
	}
	figure("the longest of the three / all of a step", max(t.busy[trace.Compute], t.busy[trace.Fetch], t.busy[trace.Store])/t.seconds, "")
}

// traced is one step, how long it took, and how busy its tracks were.
type traced struct {
	measure.Timeline
	label   string
	seconds float64
	busy    map[trace.Track]float64 // seconds within the step, without waits
	bytes   int64                   // how many were fetched
}

// traceStep records steps and returns the one of median length.
func traceStep(ctx context.Context, o measure.Options, s measure.Setting, label string, with ebb.Options) (t traced, err error) {
	o.Progress("timeline, " + label)
	var r spans
	with.Context, with.Trace = o.LinkDepth+o.Pace.Tokens(), r.add
	a, err := measure.OpenEbb("timeline, "+label, o, s, with)
	if err != nil {
		return traced{}, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := errors.Join(a.Rewind(ctx, o.LinkDepth), measure.Settle(ctx)); err != nil {
		return traced{}, err
	}
	for range o.Pace.Tokens() {
		if err := a.Step(ctx, 1); err != nil {
			return traced{}, err
		}
	}
	all := r.take()
	steps := slices.DeleteFunc(slices.Clone(all), func(s trace.Span) bool { return s.Track != trace.Step || s.Tokens != 1 })
	steps = steps[min(o.Pace.WarmUpSteps, len(steps)-1):]
	slices.SortFunc(steps, func(a, b trace.Span) int { return cmp.Compare(a.End.Sub(a.Start), b.End.Sub(b.Start)) })
	t = traced{
		Timeline: measure.Timeline{
			Name:  "timeline-" + label,
			Title: fmt.Sprintf("One step, %s: depth %d, %v, %d slots", label, o.LinkDepth, s, o.Slots),
		},
		label: label,
	}
	t.cut(all, steps[len(steps)/2])
	return t, nil
}

// cut keeps the spans that lie in one step at least in part.
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
		t.Spans = append(t.Spans, measure.TimelineSpan{Track: label, Name: s.Name, Layer: s.Layer, Start: from, End: to})
		if s.Name != "wait" {
			t.busy[s.Track] += min(to, t.seconds) - max(from, 0)
		}
		if s.Track == trace.Fetch {
			t.bytes += s.Bytes
		}
	}
	slices.SortStableFunc(t.Spans, func(a, b measure.TimelineSpan) int {
		return cmp.Or(cmp.Compare(a.Track, b.Track), cmp.Compare(a.Start, b.Start))
	})
}

// spans collects spans from several goroutines.
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
