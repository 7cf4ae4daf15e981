package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/bench/llamacpp"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
)

// The programs.
const (
	programEbb   = "ebb"
	programLlama = "llama.cpp"
)

// arm is a program and what it gets.
type arm struct {
	label   string
	program string
	kvType  string
	swap    bool
	cluster int // of vm.page-cluster; 0: the system's
}

// arms are all that are compared.
func arms() []arm {
	return []arm{
		{"ebb f16", programEbb, "f16", false, 0},
		{"llama.cpp f16 + swap", programLlama, "f16", true, 0},
		{"llama.cpp f16 + tuned swap", programLlama, "f16", true, 6},
		{"ebb q8_0", programEbb, "q8_0", false, 0},
		{"llama.cpp q8_0 + swap", programLlama, "q8_0", true, 0},
	}
}

func labels(arms []arm) (names []string) {
	for _, a := range arms {
		names = append(names, a.label)
	}
	return names
}

// chosen returns the arms with these labels, or all.
func chosen(names []string) ([]arm, error) {
	all := arms()
	if len(names) == 0 {
		return all, nil
	}
	for _, name := range names {
		if !slices.Contains(labels(all), name) {
			return nil, fmt.Errorf("--arms: there is no arm %q", name)
		}
	}
	return slices.DeleteFunc(all, func(a arm) bool { return !slices.Contains(names, a.label) }), nil
}

// computed is how many tokens of the context are computed. Their K/V are repeated to fill it.
const computed = 256

// repeated is how many K/V ebb repeats in a step at most: all new ones of a step are in memory at once.
const repeated = 1024

// decoder is a program with a sequence.
type decoder interface {
	Rewind(ctx context.Context, depth int) error // makes the sequence that long
	Step(ctx context.Context, n int) error       // computes that many tokens, and the logits of the last
	Close() error
}

// turn is what an arm has measured.
type turn struct {
	Fill   float64   `json:"fill_seconds"` // to open the model and fill the context
	Steps  []float64 `json:"step_seconds"` // of each token
	Others float64   `json:"others_cores"` // cores that other processes used meanwhile, the kernel's among them
	Places string    `json:"places"`       // where K/V were
}

// runArm decodes at the end of the context, writes the turn as a line of JSON, and waits until in is
// closed, so that the process is still there when its memory is read.
func (o *options) runArm(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	start := time.Now()
	d, places, err := o.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.Rewind(ctx, o.Context-o.Steps-1); err != nil { // one token is not timed
		return err
	}
	t := turn{Fill: time.Since(start).Seconds()}
	if err := d.Step(ctx, 1); err != nil { // the first one builds graphs
		return err
	}
	before, start := measure.ReadUsage(), time.Now()
	for last := start; len(t.Steps) < o.Steps; {
		if len(t.Steps) >= 2 && last.Sub(start) > time.Duration(o.Seconds)*time.Second {
			break
		}
		if err := d.Step(ctx, 1); err != nil {
			return err
		}
		now := time.Now()
		t.Steps = append(t.Steps, now.Sub(last).Seconds())
		last = now
	}
	t.Others, t.Places = measure.ReadUsage().OthersSince(before, time.Since(start)), places()
	if err := json.NewEncoder(out).Encode(t); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

func (o *options) open() (d decoder, places func() string, err error) {
	switch o.Program {
	case programEbb:
		return o.openEbb()
	case programLlama:
		d, err := o.openLlama()
		return d, func() string { return "memory and swap" }, err
	}
	return nil, nil, fmt.Errorf("%w: unknown program %q", errMisuse, o.Program)
}

func (o *options) openEbb() (decoder, func() string, error) {
	policy, err := kv.ParsePolicy(o.Cache)
	if err != nil {
		return nil, nil, err
	}
	e, err := measure.OpenEbb(programEbb, measure.Options{Model: o.Model, Fill: computed}, measure.Setting{Threads: o.Threads, KVType: o.KVType}, ebb.Options{
		Cache: policy, Context: o.Context, Disk: o.Dir, HostMemory: int64(max(0, o.HostMemory)) << 20, StepTokens: repeated,
	})
	if err != nil {
		return nil, nil, err
	}
	return e, func() string {
		s := e.Engine.Stats().Cache
		return fmt.Sprintf("%s in %d layers on the device, %s in host memory, %s on the disk", bytesize.Format(s.DeviceBytes), s.ResidentLayers,
			bytesize.Format(s.HostBytes), bytesize.Format(s.DiskBytes))
	}, nil
}

// peer is llama.cpp with one sequence.
type peer struct {
	model   *llamacpp.Model
	context *llamacpp.Context
	used    int
	ids     []int32
}

func (o *options) openLlama() (_ *peer, err error) {
	typ, err := kv.ParseType(o.KVType)
	if err != nil {
		return nil, err
	}
	l := &peer{}
	if l.model, err = llamacpp.OpenModel(o.Model); err != nil {
		return nil, err
	}
	l.context, err = l.model.NewContext(llamacpp.ContextOptions{
		Ctx: o.Context, Batch: computed, Threads: o.Threads, FlashAttn: true, TypeK: int32(typ), TypeV: int32(typ),
	})
	if err != nil {
		return nil, errors.Join(err, l.model.Close())
	}
	return l, nil
}

func (l *peer) Rewind(_ context.Context, depth int) error {
	l.ids = measure.Tokens(l.ids, 0, min(depth, computed), l.model.VocabSize())
	if err := l.context.Decode(l.ids, 0, false); err != nil {
		return err
	}
	l.used = depth
	return l.context.Repeat(depth - len(l.ids))
}

func (l *peer) Step(_ context.Context, n int) error {
	l.ids = measure.Tokens(l.ids, l.used, n, l.model.VocabSize())
	l.used += n
	return l.context.Decode(l.ids, l.used-n, true)
}

func (l *peer) Close() error { return errors.Join(l.context.Close(), l.model.Close()) }
