package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml/llama"
	"github.com/seed4d217819/ebb/kv"
)

// arm is a program whose decode steps are timed.
type arm interface {
	name() string
	// rewind makes the first depth tokens the whole sequence.
	rewind(ctx context.Context, depth int) error
	// step appends one token, and its logits are in host memory afterwards.
	step(ctx context.Context) error
	Close() error
}

// token returns the token at a position, the same for all arms. What the tokens
// say makes no difference to the time that they take.
func token(position, vocab int) int32 { return int32(position * 7919 % vocab) }

func tokens(n, vocab int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = token(i, vocab)
	}
	return ids
}

// ebbArm is an engine of this program.
type ebbArm struct {
	label  string
	engine *ebb.Engine
	seq    *kv.Seq
	next   [1]int32
	batch  [1]kv.Work
}

var _ arm = (*ebbArm)(nil)

func openEbb(label, model string, o ebb.Options) (*ebbArm, error) {
	e, err := ebb.Open(model, o)
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", label, err)
	}
	return &ebbArm{label: label, engine: e, seq: e.NewSeq()}, nil
}

func (a *ebbArm) name() string { return a.label }

func (a *ebbArm) rewind(ctx context.Context, depth int) error {
	have := a.seq.Len()
	if depth <= have {
		return a.seq.Truncate(depth)
	}
	ids := tokens(depth, a.engine.Config().Vocab)
	_, err := a.engine.Forward(ctx, []kv.Work{{Seq: a.seq, Tokens: ids[have:]}})
	return err
}

func (a *ebbArm) step(ctx context.Context) error {
	a.next[0] = token(a.seq.Len(), a.engine.Config().Vocab)
	a.batch[0] = kv.Work{Seq: a.seq, Tokens: a.next[:], Logits: 1}
	_, err := a.engine.Forward(ctx, a.batch[:])
	return err
}

func (a *ebbArm) Close() error { return errors.Join(a.seq.Close(), a.engine.Close()) }

// peerArm is llama.cpp, with threads that live as long as it does.
type peerArm struct {
	label   string
	model   *llama.Model
	context *llama.Context
	used    int
	next    [1]int32
}

var _ arm = (*peerArm)(nil)

// typeF16 is ggml's number of the type.
const typeF16 = 1

func openPeer(path string, o llama.ContextOptions) (*peerArm, error) {
	label := "llama.cpp, flash attention off"
	if o.FlashAttn {
		label = "llama.cpp, flash attention on"
	}
	m, err := llama.OpenModel(path, llama.ModelOptions{})
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	c, err := m.NewContext(o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench: %s: %w", label, err), m.Close())
	}
	return &peerArm{label: label, model: m, context: c}, nil
}

func (a *peerArm) name() string { return a.label }

func (a *peerArm) rewind(_ context.Context, depth int) error {
	a.context.Clear()
	a.used = 0
	if depth == 0 {
		return nil
	}
	a.used = depth
	return a.context.Decode(tokens(depth, a.model.VocabSize()), 0, false)
}

func (a *peerArm) step(context.Context) error {
	a.next[0] = token(a.used, a.model.VocabSize())
	if err := a.context.Decode(a.next[:], a.used, true); err != nil {
		return err
	}
	a.used++
	if len(a.context.Logits()) != a.model.VocabSize() {
		return fmt.Errorf("bench: %s: no logits", a.label)
	}
	return nil
}

func (a *peerArm) Close() error { return errors.Join(a.context.Close(), a.model.Close()) }

// closeAll closes arms that are no longer needed.
func closeAll(arms []arm) error {
	var errs []error
	for _, a := range arms {
		errs = append(errs, a.Close())
	}
	return errors.Join(errs...)
}
