package measure

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/kv"
)

// Ebb is an engine of this program with one sequence.
type Ebb struct {
	Label  string
	Engine *ebb.Engine
	Seq    *kv.Seq

	fill   int // tokens that are computed to reach a depth
	ids    []int32
	batch  [1]kv.Work
	logits [][][]float32
}

var _ Arm = (*Ebb)(nil)

// OpenEbb opens the model with options of its own, and with those that all arms of a setting have
// in common.
func OpenEbb(label string, o Options, s Setting, with ebb.Options) (*Ebb, error) {
	with.Device, with.GPULayers, with.Threads, with.KVType = o.Device, o.GPULayers, s.Threads, s.KVType
	e, err := ebb.Open(o.Model, with)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", label, err)
	}
	return &Ebb{Label: label, Engine: e, Seq: e.NewSeq(), fill: o.Fill}, nil
}

// OpenISAs opens an arm for each of the instruction sets that the options name, or one for that of the
// environment, and for each of the ways to compute attention.
func OpenISAs(label string, o Options, s Setting, with ebb.Options) (arms []*Ebb, err error) {
	open := func(label string, with ebb.Options) {
		if err != nil {
			return
		}
		var a *Ebb
		if a, err = OpenEbb(label, o, s, with); err == nil {
			arms = append(arms, a)
		}
	}
	each := func(label string, with ebb.Options) {
		if len(o.Attentions) == 0 {
			open(label, with)
		}
		for _, kind := range o.Attentions {
			with.Attention = kind
			open(fmt.Sprintf("%s, attention %v", label, kind), with)
		}
	}
	if len(o.ISAs) == 0 {
		each(label, with)
	}
	for _, set := range o.ISAs {
		exec.SetISA(&with, set.Resolved())
		each(fmt.Sprintf("%s, %v", label, set), with)
	}
	if err != nil {
		return nil, errors.Join(err, CloseAll(arms))
	}
	return arms, nil
}

// openPolicies opens an arm for each policy and each instruction set.
func openPolicies(o Options, s Setting, room int) (arms []*Ebb, err error) {
	for _, p := range o.Policies {
		some, err := OpenISAs("ebb "+p.String(), o, s, ebb.Options{Cache: p, Context: room})
		if err != nil {
			return nil, errors.Join(err, CloseAll(arms))
		}
		arms = append(arms, some...)
	}
	return arms, nil
}

// Name returns the label.
func (a *Ebb) Name() string { return a.Label }

// Rewind truncates the sequence, or makes it longer: it computes the first tokens and repeats their
// K/V. Where layers carry a state, that of this depth is kept, so that rewinding to it again computes
// nothing.
func (a *Ebb) Rewind(ctx context.Context, depth int) error {
	if err := a.rewind(ctx, depth); err != nil {
		return err
	}
	return a.Seq.SnapshotAt(depth)
}

func (a *Ebb) rewind(ctx context.Context, depth int) error {
	have := a.Seq.Len()
	if depth <= have {
		return a.Seq.Truncate(depth)
	}
	if computed := min(depth, a.fill); have < computed {
		a.ids = Tokens(a.ids, have, computed-have, a.Vocab())
		if _, err := a.Engine.Forward(ctx, []kv.Work{{Seq: a.Seq, Tokens: a.ids}}); err != nil {
			return err
		}
		have = computed
	}
	return exec.OfEngine(a.Engine).Repeat(ctx, a.Seq, depth-have)
}

// Step appends n tokens and gets the logits of the last.
func (a *Ebb) Step(ctx context.Context, n int) error { return a.Forward(ctx, n, 1) }

// Forward appends n tokens and gets the logits of the last wanted ones.
func (a *Ebb) Forward(ctx context.Context, n, wanted int) error {
	a.ids = Tokens(a.ids, a.Seq.Len(), n, a.Vocab())
	a.batch[0] = kv.Work{Seq: a.Seq, Tokens: a.ids, Logits: wanted}
	logits, err := a.Engine.ForwardInto(ctx, a.batch[:], a.logits)
	if err == nil {
		a.logits = logits
	}
	return err
}

// Vocab returns the number of tokens that the model knows.
func (a *Ebb) Vocab() int { return a.Engine.Config().Vocab }

// Close closes the sequence and the engine.
func (a *Ebb) Close() error { return errors.Join(a.Seq.Close(), a.Engine.Close()) }

// RowBytes returns the bytes of the K/V of one token in all layers.
func (a *Ebb) RowBytes(s Setting) (int64, error) {
	rows, err := a.ReadBytes(s)
	if err != nil {
		return 0, err
	}
	return rows(1), nil
}

// ReadBytes returns how many bytes of K/V a step of one token reads at a depth: in a layer with a
// window those inside the window.
func (a *Ebb) ReadBytes(s Setting) (at func(depth int) int64, err error) {
	typ, err := kv.ParseType(s.KVType)
	if err != nil {
		return nil, err
	}
	layers := a.Engine.Config().Layers
	return func(depth int) (n int64) {
		for _, l := range layers {
			seen := depth
			if l.Window > 0 {
				seen = min(seen, l.Window)
			}
			n += int64(seen) * int64(l.KVHeads) * (typ.RowSize(int64(l.KeyDim)) + typ.RowSize(int64(l.ValueDim)))
		}
		return n
	}, nil
}
