package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/bench/llamacpp"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
)

// The names of the peer with each of its attention settings.
const (
	peerFlash = "llama.cpp, flash attention on"
	peerEager = "llama.cpp, flash attention off"
)

// peerArm is llama.cpp, with threads that live as long as the arm.
type peerArm struct {
	label   string
	model   *llamacpp.Model
	context *llamacpp.Context
	used    int
	fill    int // tokens that are computed to reach a depth
	ids     []int32
}

var _ measure.Arm = (*peerArm)(nil)

// openPeers opens llama.cpp, if the options name it, with each of its attention settings that take
// the K/V type. It leaves out what does not open, and a note says why.
func (o *Options) openPeers(s measure.Setting, room int) (peers []*peerArm, notes []string) {
	if o.Peer == "" {
		return nil, nil
	}
	if !o.OnCPU() {
		return nil, []string{"Without llama.cpp: it is measured on the CPU only."}
	}
	typ, err := kv.ParseType(s.KVType)
	if err != nil {
		return nil, []string{fmt.Sprintf("Without llama.cpp: %v.", err)}
	}
	for _, flash := range []bool{true, false} {
		if typ.Quantized() && !flash {
			continue // quantized V needs flash attention
		}
		a, err := openPeer(o.Options, flash, llamacpp.ContextOptions{
			Ctx: room, Threads: s.Threads, FlashAttn: flash, TypeK: int32(typ), TypeV: int32(typ), Computed: o.Fill >= room,
		})
		if err != nil {
			notes = append(notes, fmt.Sprintf("Without llama.cpp: %v.", err))
			continue
		}
		peers = append(peers, a)
	}
	return peers, notes
}

func openPeer(o measure.Options, flash bool, with llamacpp.ContextOptions) (*peerArm, error) {
	label := peerEager
	if flash {
		label = peerFlash
	}
	m, err := llamacpp.OpenModel(o.Model)
	if err != nil {
		return nil, err
	}
	c, err := m.NewContext(with)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", label, err), m.Close())
	}
	return &peerArm{label: label, model: m, context: c, fill: o.Fill}, nil
}

func (a *peerArm) Name() string { return a.label }

func (a *peerArm) Rewind(_ context.Context, depth int) error {
	if !a.context.Keeps(depth) {
		if err := a.context.Truncate(0); err != nil {
			return err
		}
		a.used = 0
	}
	if depth <= a.used {
		a.used = depth
		return a.context.Truncate(depth)
	}
	if computed := min(depth, a.fill); a.used < computed {
		a.ids = measure.Tokens(a.ids, a.used, computed-a.used, a.model.VocabSize())
		if err := a.context.Decode(a.ids, a.used, false); err != nil {
			return err
		}
		a.used = computed
	}
	more := depth - a.used
	a.used = depth
	err := a.context.Repeat(more)
	if errors.Is(err, llamacpp.ErrWindow) {
		err = fmt.Errorf("%w: --fill must be at least the deepest depth and the tokens of a turn", err)
	}
	return err
}

func (a *peerArm) Step(_ context.Context, n int) error {
	a.ids = measure.Tokens(a.ids, a.used, n, a.model.VocabSize())
	if err := a.context.Decode(a.ids, a.used, true); err != nil {
		return err
	}
	a.used += n
	if len(a.context.Logits()) != a.model.VocabSize() {
		return fmt.Errorf("bench: %s: no logits", a.label)
	}
	return nil
}

func (a *peerArm) Close() error { return errors.Join(a.context.Close(), a.model.Close()) }
