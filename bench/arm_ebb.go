package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// ebbArm is an engine of this program.
type ebbArm struct {
	label  string
	engine *ebb.Engine
	seq    *kv.Seq
	fill   int // tokens that are computed to reach a depth
	ids    []int32
	batch  [1]kv.Work
	logits [][][]float32
}

var _ arm = (*ebbArm)(nil)

// openEbb opens the model with some options, and those that all arms of a
// setting have in common.
func openEbb(label string, o Options, s setting, with ebb.Options) (*ebbArm, error) {
	with.Device, with.GPULayers, with.Threads, with.KVType = o.Device, o.GPULayers, s.threads, s.kvType
	e, err := ebb.Open(o.Model, with)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", label, err)
	}
	return &ebbArm{label: label, engine: e, seq: e.NewSeq(), fill: o.Fill}, nil
}

// openPolicies opens an arm for each policy.
func openPolicies(o Options, s setting, room int) (arms []*ebbArm, err error) {
	for _, p := range o.Policies {
		a, err := openEbb("ebb "+p.String(), o, s, ebb.Options{Cache: p, Context: room})
		if err != nil {
			return nil, errors.Join(err, closeAll(arms))
		}
		arms = append(arms, a)
	}
	return arms, nil
}

func (a *ebbArm) name() string { return a.label }

func (a *ebbArm) rewind(ctx context.Context, depth int) error {
	have := a.seq.Len()
	if depth <= have {
		return a.seq.Truncate(depth)
	}
	if computed := min(depth, a.fill); have < computed {
		a.ids = tokens(a.ids, have, computed-have, a.engine.Config().Vocab)
		if _, err := a.engine.Forward(ctx, []kv.Work{{Seq: a.seq, Tokens: a.ids}}); err != nil {
			return err
		}
		have = computed
	}
	return a.engine.Repeat(ctx, a.seq, depth-have)
}

func (a *ebbArm) step(ctx context.Context, n int) error { return a.forward(ctx, n, 1) }

// forward appends n tokens, and gets the logits of as many of the last as are
// wanted.
func (a *ebbArm) forward(ctx context.Context, n, wanted int) error {
	a.ids = tokens(a.ids, a.seq.Len(), n, a.engine.Config().Vocab)
	a.batch[0] = kv.Work{Seq: a.seq, Tokens: a.ids, Logits: wanted}
	logits, err := a.engine.ForwardInto(ctx, a.batch[:], a.logits)
	if err == nil {
		a.logits = logits
	}
	return err
}

func (a *ebbArm) Close() error { return errors.Join(a.seq.Close(), a.engine.Close()) }

// rowBytes returns what the K/V of one token take in all layers.
func (a *ebbArm) rowBytes(s setting) (int64, error) {
	typ, err := kv.ParseType(s.kvType)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for _, l := range a.engine.Config().Layers {
		n += int64(l.KVHeads) * (typ.RowSize(int64(l.KeyDim)) + typ.RowSize(int64(l.ValueDim)))
	}
	return n, nil
}
