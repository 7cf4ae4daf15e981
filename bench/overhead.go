package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/trace"
)

// overhead measures what Go costs beside the library that computes: a call into it, the rest of a
// step, and the garbage of a token.
func overhead(ctx context.Context, o measure.Options, _ measure.Model) (res measure.Result, err error) {
	o.Progress("overhead")
	call, err := callTime()
	if err != nil {
		return res, err
	}
	res.Figures = append(res.Figures, measure.Figure{Workload: "overhead", Name: "a call into the library", Value: call * 1e9, Unit: "ns"})
	s := o.Settings()[0]
	for _, how := range []struct {
		label string
		with  ebb.Options
	}{
		{"ebb static", ebb.Options{Cache: kv.Static}},
		{"ebb offloaded, forced copies", ebb.Options{Cache: kv.Offloaded, ForcedCopies: true, Slots: o.Slots}},
	} {
		figures, err := stepOverhead(ctx, o, s, how.label, how.with)
		res.Figures = append(res.Figures, figures...)
		if err != nil {
			return res, err
		}
	}
	return res, nil
}

// callTime returns the seconds of a call that does next to nothing, a copy of four bytes into
// memory of the CPU, but that goes through the same layers as every call in a step.
func callTime() (_ float64, err error) {
	device, err := cpu()
	if err != nil {
		return 0, err
	}
	backend, err := device.Open(ggml.Options{Threads: 1})
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	meta := ggml.NewContext(1)
	defer meta.Close()
	t := meta.New(ggml.F32, 1)
	buffer, err := backend.Alloc(backend.BufferType(), t.Bytes(), ggml.Inputs)
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	defer buffer.Close()
	buffer.Place(t, 0)
	const calls = 1000
	var samples []float64
	value := make([]byte, t.Bytes())
	for range 100 {
		start := time.Now()
		for range calls {
			t.Set(value, 0)
		}
		samples = append(samples, time.Since(start).Seconds()/calls)
	}
	return measure.Summarize(samples).P25, nil
}

// spent adds up how long steps compute graphs or wait for copies.
type spent struct{ nanoseconds atomic.Int64 }

func (s *spent) add(span trace.Span) {
	if span.Track == trace.Compute {
		s.nanoseconds.Add(int64(span.End.Sub(span.Start)))
	}
}

// garbage counts what Go has allocated so far.
type garbage struct{ bytes, objects uint64 }

func readGarbage() garbage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return garbage{m.TotalAlloc, m.Mallocs}
}

func (g garbage) since(before garbage) garbage {
	return garbage{g.bytes - before.bytes, g.objects - before.objects}
}

// stepOverhead measures steps of one token in the first block, so that no step builds a graph.
func stepOverhead(ctx context.Context, o measure.Options, s measure.Setting, label string, with ebb.Options) (figures []measure.Figure, err error) {
	var computing spent
	with.Context, with.Trace = o.Pace.Tokens()+1, computing.add
	a, err := measure.OpenEbb(label, o, s, with)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	turns := o.Pace.WarmUp + o.Pace.Rounds
	outside := make([]float64, 0, turns*o.Pace.Steps) // seconds of each step beside its graphs and waits
	var ofSteps garbage                               // of the last turn
	for range turns {
		if err := a.Rewind(ctx, 0); err != nil {
			return nil, err
		}
		if err := measure.Settle(ctx); err != nil {
			return nil, err
		}
		for range o.Pace.WarmUpSteps {
			if err := a.Step(ctx, 1); err != nil {
				return nil, err
			}
		}
		before := readGarbage()
		for range o.Pace.Steps {
			start, computed := time.Now(), computing.nanoseconds.Load()
			if err := a.Step(ctx, 1); err != nil {
				return nil, err
			}
			outside = append(outside, time.Since(start).Seconds()-float64(computing.nanoseconds.Load()-computed)/1e9)
		}
		ofSteps = readGarbage().since(before)
	}
	outside = outside[o.Pace.WarmUp*o.Pace.Steps:]
	ofTokens, err := generateGarbage(ctx, a, o.Pace)
	if err != nil {
		return nil, err
	}
	figure := func(what string, value float64, unit string) {
		figures = append(figures, measure.Figure{Workload: "overhead", Name: label + ": " + what, Value: value, Unit: unit})
	}
	figure("a step beside its graphs and waits", measure.Summarize(outside).P25*1e6, "µs")
	for _, of := range []struct {
		what string
		all  garbage
	}{{"garbage of a step", ofSteps}, {"garbage of a generated token", ofTokens}} {
		figure(of.what, float64(of.all.bytes)/float64(o.Pace.Steps), "bytes")
		figure(of.what, float64(of.all.objects)/float64(o.Pace.Steps), "objects")
	}
	return figures, nil
}

// generateGarbage returns the garbage of a turn's tokens, which are chosen greedily, one after the
// other.
func generateGarbage(ctx context.Context, a *measure.Ebb, p measure.Pace) (garbage, error) {
	if err := a.Rewind(ctx, 0); err != nil {
		return garbage{}, err
	}
	var before garbage
	n := 0
	config := ebb.GenerationConfig{MaxNewTokens: p.Tokens(), EOSTokenID: ebb.TokenIDs{}}
	for _, err := range a.Engine.GenerateTokens(ctx, a.Seq, []int32{measure.Token(0, a.Vocab())}, config) {
		if err != nil {
			return garbage{}, err
		}
		if n++; n == p.WarmUpSteps {
			before = readGarbage()
		}
	}
	return readGarbage().since(before), nil
}
