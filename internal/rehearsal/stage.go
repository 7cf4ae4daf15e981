package rehearsal

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/trace"
)

// stage is an engine that rehearses, with a sequence of the sample's depth.
type stage struct {
	engine *ebb.Engine
	seq    *kv.Seq
	logits [][][]float32

	mu    sync.Mutex
	spent spent // of the step that is computed
}

// spent is where the time of a step goes.
type spent struct {
	layers, logits, rest time.Duration
	fetch                time.Duration // beside all that
	fetched              int64         // bytes
	store                time.Duration // of all stores, beside all that
	stores               int
}

// minus returns what s took longer than t.
func (s spent) minus(t spent) spent {
	return spent{layers: max(0, s.layers-t.layers), logits: max(0, s.logits-t.logits), rest: max(0, s.rest-t.rest)}
}

// open opens the sketch in a file with options of its own, and fills a sequence.
func open(ctx context.Context, path string, o Options, depth int, with ebb.Options) (_ *stage, err error) {
	st := &stage{}
	with.Device, with.Threads, with.KVType, with.Trace = o.Device, o.Threads, o.KVType, st.add
	grown := (mostSteps + 1) * min(o.Beams*o.Sequences, mostBatch) // by the steps that are timed
	with.Context = seedTokens + max(depth+grown, 3*grown) + kv.Block
	if st.engine, err = ebb.Open(path, with); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close())
		}
	}()
	return st, st.fill(ctx, depth)
}

// fill begins a sequence anew, which has some tokens behind the seed.
func (st *stage) fill(ctx context.Context, depth int) error {
	if err := st.empty(); err != nil {
		return err
	}
	st.seq = st.engine.NewSeq()
	if _, err := st.engine.Forward(ctx, []kv.Work{{Seq: st.seq, Tokens: make([]int32, seedTokens)}}); err != nil {
		return err
	}
	for have := seedTokens; have < seedTokens+depth; have = st.seq.Len() {
		if err := exec.OfEngine(st.engine).Repeat(ctx, st.seq, min(have, seedTokens+depth-have)); err != nil {
			return err
		}
	}
	return nil
}

// empty closes the sequence, if there is one.
func (st *stage) empty() error {
	if st.seq == nil {
		return nil
	}
	return st.seq.Close()
}

func (st *stage) close() error { return errors.Join(st.empty(), st.engine.Close()) }

// add books a span of the step.
func (st *stage) add(s trace.Span) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch took := s.End.Sub(s.Start); {
	case s.Track == trace.Fetch:
		st.spent.fetch += took
		st.spent.fetched += s.Bytes
	case s.Track == trace.Store:
		st.spent.store += took
		st.spent.stores++
	case s.Track == trace.Compute && s.Name == "layer":
		st.spent.layers += took
	case s.Track == trace.Compute && s.Name == "logits":
		st.spent.logits += took
	}
}

// take returns what was spent since the last time.
func (st *stage) take() spent {
	st.mu.Lock()
	defer st.mu.Unlock()
	took := st.spent
	st.spent = spent{}
	return took
}

// steps takes steps of some tokens, all beams of the sequence, and returns where the time of one goes:
// the 25th percentile, which what else happens on the machine hardly changes. The sequence itself stays as
// it is, because a recurrent layer cannot go back to a state that it had.
func (st *stage) steps(ctx context.Context, tokens int) (typical spent, err error) {
	var batch []kv.Work
	defer func() {
		for _, w := range batch {
			err = errors.Join(err, w.Seq.Close())
		}
	}()
	for range tokens {
		beam, err := st.seq.Fork()
		if err != nil {
			return typical, err
		}
		batch = append(batch, kv.Work{Seq: beam, Tokens: []int32{0}, Logits: 1})
	}
	var all []spent
	for i, begun := 0, time.Now(); i <= sampleSteps || time.Since(begun) < sampleTime && i < mostSteps; i++ {
		st.take()
		start := time.Now()
		if st.logits, err = st.engine.ForwardInto(ctx, batch, st.logits); err != nil {
			return typical, err
		}
		took := st.take()
		took.rest = time.Since(start) - took.layers - took.logits
		if i > 0 { // the first builds graphs
			all = append(all, took)
		}
	}
	return quarters(all), nil
}

// quarters returns the 25th percentile of each part of some steps.
func quarters(all []spent) spent {
	quarter := func(part func(spent) time.Duration) time.Duration {
		var times []time.Duration
		for _, s := range all {
			times = append(times, part(s))
		}
		slices.Sort(times)
		return max(times[(len(times)-1)/4], 1)
	}
	typical := spent{
		layers: quarter(func(s spent) time.Duration { return s.layers }),
		logits: quarter(func(s spent) time.Duration { return s.logits }),
		rest:   quarter(func(s spent) time.Duration { return s.rest }),
	}
	if typical.stores = all[0].stores; typical.stores > 0 {
		typical.store = quarter(func(s spent) time.Duration { return s.store })
	}
	var rates []float64 // seconds a byte
	for _, s := range all {
		typical.fetched += s.fetched / int64(len(all)) // some fetches are ahead of their step
		if s.fetched > 0 {
			rates = append(rates, s.fetch.Seconds()/float64(s.fetched))
		}
	}
	if rates != nil {
		slices.Sort(rates)
		typical.fetch = max(1, time.Duration(rates[(len(rates)-1)/4]*float64(typical.fetched)*float64(time.Second)))
	}
	return typical
}
