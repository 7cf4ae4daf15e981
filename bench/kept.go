package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/service"
)

const (
	// keptPrompt is how many tokens a conversation has, as far as the context of the model allows.
	keptPrompt = 4000
	// keptTurn is how many tokens come behind an answer in its next turn.
	keptTurn = 8
	// targetKept is how many times what it must take the first token of a kept conversation may take: a step
	// where it is in memory, and reading its files where it is there. The score is that divided by what it
	// takes.
	targetKept = 1.2
)

// kept measures the first token of a prompt whose conversation the service has kept, in memory and in files.
func (o *Options) kept(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	err = o.each(with, &res, func(with measure.Options, m measure.Model, family string) error {
		with.Context = cmp.Or(with.Context, m.Context)
		for _, s := range with.Settings() {
			if err := keptIn(ctx, with, s, family, &res); err != nil {
				return err
			}
		}
		return nil
	})
	return res, err
}

func keptIn(ctx context.Context, o measure.Options, s measure.Setting, family string, res *measure.Result) (err error) {
	dir, err := os.MkdirTemp(o.Disk, "ebb-bench-*")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	prompt := min(keptPrompt, o.Context/2)
	n := max(2, o.Pace.Steps)
	turns := 1 + 3*o.Pace.Rounds
	e, err := measure.OpenEbb("ebb auto", o, s, ebb.Options{Context: prompt + turns*(n+keptTurn)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	k := &keeping{engine: e.Engine, dir: dir, new: n}
	if err := k.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	used, start := measure.ReadUsage(), time.Now()
	o.Progress(fmt.Sprintf("kept: a prompt of %d tokens, %v", prompt, s))
	text := (&streams{vocab: e.Vocab()}).tokens(prompt)
	whole, err := k.turn(ctx, text)
	if err != nil {
		return err
	}
	next := func(i int) []int32 {
		return slices.Concat(text, whole.ids, measure.Tokens(nil, i*keptTurn+1, keptTurn, e.Vocab()))
	}
	o.Progress(fmt.Sprintf("kept: turns, %v", s))
	var again, more, restored []turn
	var reads []float64
	for i := range o.Pace.Rounds {
		t, err := k.turn(ctx, text)
		if err != nil {
			return err
		}
		again = append(again, t)
		if t, err = k.turn(ctx, next(2*i)); err != nil {
			return err
		}
		more = append(more, t)
	}
	o.Progress(fmt.Sprintf("kept: turns after a restart, %v", s))
	var rate float64 // bytes a second
	for i := range o.Pace.Rounds {
		if err := k.restart(ctx); err != nil {
			return err
		}
		bytes, seconds, err := readFolder(dir)
		if err != nil {
			return err
		}
		reads = append(reads, seconds)
		rate = float64(bytes) / measure.Summarize(reads).P25
		if err := forgetFolder(dir); err != nil {
			return err
		}
		t, err := k.turn(ctx, next(2*i+1))
		if err != nil {
			return err
		}
		restored = append(restored, t)
	}
	r := &keptReport{
		workload: "kept", setting: s, prompt: prompt, res: res,
		disturbed: measure.ReadUsage().OthersSince(used, time.Since(start)) > measure.Busy,
	}
	if family != "" {
		r.workload = family + "-kept"
	}
	step := seconds(again, func(t turn) time.Duration { return t.step })
	r.figure("a step", step*1e3, "ms")
	r.figure("the disk's rate, reading the folder", rate/1e9, "GB/s")
	r.turns("the first turn", []turn{whole})
	r.turns("the same prompt again", again)
	r.turns("the next turn", more)
	r.turns("the next turn after a restart", restored)
	r.score("1.2 steps / the first token of the same prompt again", targetKept*step/firstOf(again))
	read := float64(restored[len(restored)-1].read)
	r.figure("bytes read for a turn after a restart", read/1e6, "MB")
	r.score("1.2 times reading its bytes / the first token after a restart", targetKept*read/rate/firstOf(restored))
	return nil
}

// keeping is a service that keeps conversations in files.
type keeping struct {
	*service.Service
	engine *ebb.Engine
	dir    string
	new    int // tokens of an answer
}

func (k *keeping) open() (err error) {
	k.Service, err = service.New(k.engine, service.Options{CacheDir: k.dir})
	return err
}

// restart ends the service, which writes what is not in files yet, and begins another one, to which the
// files are new.
func (k *keeping) restart(ctx context.Context) error {
	if err := k.Drain(ctx); err != nil {
		return err
	}
	if err := k.open(); err != nil {
		return err
	}
	return forgetFolder(k.dir)
}

// turn is what an answer has taken.
type turn struct {
	ids      []int32
	computed int           // tokens of the prompt
	first    time.Duration // new token
	step     time.Duration
	read     int64 // bytes of files
}

// turn has a prompt answered. It fails where less is kept of the prompt than should be.
func (k *keeping) turn(ctx context.Context, prompt []int32) (t turn, err error) {
	before := k.Stats().Conversations.Files.Read
	a, err := k.Answer(ctx, service.Request{Prompt: prompt, Config: endlessText(k.new)})
	if err != nil {
		return t, err
	}
	defer a.Close()
	texts, err := a.Texts(ctx)
	if err != nil {
		return t, err
	}
	for _, token := range texts[0].Tokens {
		t.ids = append(t.ids, token.ID)
	}
	u := a.Usage()
	t.computed, t.first, t.step = u.Prompt-u.Cached, u.FirstToken, (u.LastToken-u.FirstToken)/time.Duration(k.new-1)
	t.read = k.Stats().Conversations.Files.Read - before
	return t, nil
}

// seconds returns the 25th percentile of a time of turns.
func seconds(turns []turn, of func(turn) time.Duration) float64 {
	var all []float64
	for _, t := range turns {
		all = append(all, of(t).Seconds())
	}
	return measure.Summarize(all).P25
}

func firstOf(turns []turn) float64 {
	return seconds(turns, func(t turn) time.Duration { return t.first })
}

// keptReport writes figures and scores.
type keptReport struct {
	workload  string
	setting   measure.Setting
	prompt    int
	disturbed bool
	res       *measure.Result
}

func (r *keptReport) figure(name string, value float64, unit string) {
	r.res.Figures = append(r.res.Figures, measure.Figure{Workload: r.workload, Name: fmt.Sprintf("%v: %s", r.setting, name), Value: value, Unit: unit, Disturbed: r.disturbed})
}

// turns writes how long the first tokens of some turns took, and how many tokens of the prompt were computed.
func (r *keptReport) turns(name string, turns []turn) {
	r.figure(name+", until the first token", firstOf(turns)*1e3, "ms")
	r.figure(name+", computed", float64(turns[len(turns)-1].computed), "tokens")
}

func (r *keptReport) score(name string, value float64) {
	r.res.Scores = append(r.res.Scores, measure.Score{
		Workload: r.workload, Threads: r.setting.Threads, KVType: r.setting.KVType, Tokens: r.prompt, Name: name, Value: value, Target: 1,
	})
}

// eachFile calls do with each file of a folder.
func eachFile(dir string, do func(path string) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return do(path)
	})
}

// forgetFolder drops a folder's files from the page cache.
func forgetFolder(dir string) error { return eachFile(dir, measure.Forget) }

// readFolder reads a folder's files, and returns how many bytes they are and how many seconds that takes.
func readFolder(dir string) (bytes int64, seconds float64, err error) {
	buffer := make([]byte, 4<<20)
	start := time.Now()
	err = eachFile(dir, func(path string) error {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		defer func() { _ = f.Close() }() // it is only read
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, buffer)
		bytes += n
		return err
	})
	return bytes, time.Since(start).Seconds(), err
}
