package measure

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/kv"
)

// targetRestore is the share of the disk's rate at which a sequence should be restored.
const targetRestore = 0.8

// sessionNeeds returns how many tokens are saved, with one more.
func sessionNeeds(o Options) []Need { return []Need{{o.DiskDepth, 1}} }

// sessions compares saving and restoring a sequence with writing and reading as many bytes, and with
// computing its tokens anew.
func sessions(ctx context.Context, o Options, _ Model) (res Result, err error) {
	for _, s := range o.Settings() {
		if err := sessionIn(ctx, o, s, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func sessionIn(ctx context.Context, o Options, s Setting, res *Result) (err error) {
	o.Progress(fmt.Sprintf("session of %d tokens, %v", o.DiskDepth, s))
	dir, err := os.MkdirTemp(o.Disk, "ebb-bench-*")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	a, err := OpenEbb("computing the tokens anew", o, s, ebb.Options{Cache: kv.Static, Context: o.DiskDepth + 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if err := a.Rewind(ctx, o.DiskDepth); err != nil {
		return err
	}
	saved := &saveArm{of: a}
	if saved.session, err = a.Engine.OpenSession(filepath.Join(dir, "bench.session")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, saved.session.Close()) }()
	if err := saved.Step(ctx, 1); err != nil {
		return err
	}
	if err := a.Seq.Close(); err != nil { // the sequences that are restored take its memory
		return err
	}
	a.Seq = a.Engine.NewSeq()
	restored := &restoreArm{label: "restoring", saved: saved, all: true}
	first := &restoreArm{label: "restoring, and the first token", saved: saved}
	arms := []Arm{restored, first}
	info, err := os.Stat(saved.session.Path())
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	file, err := doctor.OpenDiskFile(dir, info.Size())
	if err != nil { // it is nil then
		res.Note(fmt.Sprintf("session has no rates of the disk: %v.", err))
	} else {
		defer func() { err = errors.Join(err, file.Close()) }()
		if err := file.Write(ctx); err != nil {
			return fmt.Errorf("bench: %s: %w", o.Disk, err)
		}
		reads := &readsArm{file, info.Size()}
		arms = append(arms, reads)
		res.Note(reads.note()...)
	}

	pace := o.Pace.Prompts()
	at := Point{"session", s, 0, o.DiskDepth}
	rows, err := Measure(ctx, arms, at, pace)
	if err != nil {
		return errors.Join(err, restored.end(), first.end())
	}
	if err := errors.Join(restored.end(), first.end()); err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	if file != nil {
		res.Scores = append(res.Scores, SpeedScore(rows[0], rows[2], targetRestore))
	}
	if err := saving(ctx, at, pace, saved, file, res); err != nil {
		return err
	}
	return anew(ctx, at, a, rows[1], res)
}

// saving compares saving with writing as many bytes to a file; nil: with nothing.
func saving(ctx context.Context, at Point, pace Pace, saved *saveArm, file *doctor.DiskFile, res *Result) error {
	if err := saved.of.Rewind(ctx, at.Tokens); err != nil {
		return err
	}
	arms := []Arm{saved}
	if file != nil {
		arms = append(arms, writesArm{file})
	}
	rows, err := Measure(ctx, arms, at, pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	if file != nil {
		res.Scores = append(res.Scores, SpeedScore(rows[0], rows[1], 0))
	}
	return nil
}

// anew compares a restored sequence's first token with computing all tokens again, once, as that
// takes long.
func anew(ctx context.Context, at Point, a *Ebb, restored Row, res *Result) error {
	if err := a.Seq.Truncate(0); err != nil {
		return err
	}
	rows, err := Measure(ctx, []Arm{&anewArm{a}}, at, Pace{Rounds: 1, Steps: 1})
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	res.Scores = append(res.Scores, SpeedScore(restored, rows[0], 0))
	return nil
}

// saveArm saves an arm's sequence.
type saveArm struct {
	of      *Ebb
	session *ebb.Session
}

var _ Arm = (*saveArm)(nil)

func (a *saveArm) Name() string { return "saving" }

func (a *saveArm) Rewind(context.Context, int) error { return nil }

func (a *saveArm) Step(ctx context.Context, _ int) error {
	return a.session.Save(ctx, a.of.Seq, nil)
}

func (a *saveArm) Close() error { return nil }

// restoreArm restores what was saved: all rows, or as much as the first token waits for.
type restoreArm struct {
	label string
	saved *saveArm
	all   bool

	seq    *kv.Seq // of the last step
	batch  [1]kv.Work
	logits [][][]float32
}

var _ Arm = (*restoreArm)(nil)

func (a *restoreArm) Name() string { return a.label }

// Rewind closes the sequence of the last step, and has the system forget the file.
func (a *restoreArm) Rewind(context.Context, int) error {
	return errors.Join(a.end(), Forget(a.saved.session.Path()))
}

// end closes the sequence of the last step.
func (a *restoreArm) end() error {
	if a.seq == nil {
		return nil
	}
	seq := a.seq
	a.seq = nil
	return seq.Close()
}

func (a *restoreArm) Step(ctx context.Context, n int) (err error) {
	if a.seq, err = a.saved.session.Restore(ctx, n); err != nil {
		return err
	}
	if a.all {
		return a.seq.Wait(ctx)
	}
	a.batch[0] = kv.Work{Seq: a.seq, Tokens: []int32{Token(n, a.saved.of.Vocab())}, Logits: 1}
	a.logits, err = a.saved.of.Engine.ForwardInto(ctx, a.batch[:], a.logits)
	return err
}

func (a *restoreArm) Close() error { return a.end() }

// anewArm computes tokens, and one more with its logits.
type anewArm struct{ of *Ebb }

var _ Arm = (*anewArm)(nil)

func (a *anewArm) Name() string { return a.of.Name() }

func (a *anewArm) Rewind(ctx context.Context, depth int) error { return a.of.Rewind(ctx, depth) }

func (a *anewArm) Step(ctx context.Context, n int) error { return a.of.Step(ctx, n+1) }

func (a *anewArm) Close() error { return nil }

// writesArm writes as many bytes to the disk as a session has, and does nothing else.
type writesArm struct{ file *doctor.DiskFile }

var _ Arm = writesArm{}

func (a writesArm) Name() string { return "writing as many bytes" }

func (a writesArm) Rewind(context.Context, int) error { return nil }

func (a writesArm) Step(ctx context.Context, _ int) error { return a.file.Write(ctx) }

func (a writesArm) Close() error { return nil }
