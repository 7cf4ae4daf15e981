package service_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// process is a service and its engine, which may end without anybody's being told.
type process struct {
	counted
	engine *ebb.Engine
}

func startProcess(t *testing.T, model, dir string, engine ebb.Options, notify func(string)) process {
	t.Helper()
	c := counted{t: t, tokens: new(atomic.Int64), steps: new(atomic.Int64)}
	engine.Trace = c.count
	e, err := ebb.Open(model, engine)
	if err != nil {
		t.Fatal(err)
	}
	c.Service, err = service.New(e, service.Options{CacheDir: dir, CacheBytes: 1 << 30, Notify: notify})
	if err != nil {
		t.Fatal(err)
	}
	return process{c, e}
}

// drain ends the process in order, and kill as if it had been killed: nothing is written any more.
func (p process) drain() {
	p.t.Helper()
	if err := p.Drain(p.t.Context()); err != nil {
		p.t.Error(err)
	}
	if err := p.engine.Close(); err != nil {
		p.t.Error(err)
	}
}

func (p process) kill() {
	p.t.Helper()
	if err := p.Close(); err != nil {
		p.t.Error(err)
	}
	if err := p.engine.Close(); err != nil {
		p.t.Error(err)
	}
}

// What was computed is found by the next process, and its answers are the same.
func TestConversationsOutliveTheProcess(t *testing.T) {
	for _, tt := range []struct {
		name   string
		policy kv.Policy
		killed bool
	}{{"drained", kv.Auto, false}, {"killed", kv.Auto, true}, {"offloaded", kv.Offloaded, false}} {
		t.Run(tt.name, func(t *testing.T) {
			model, dir := servicetest.WriteModel(t), t.TempDir()
			o := ebb.Options{Context: 2048, Cache: tt.policy, ForcedCopies: true}
			whole := startProcess(t, model, t.TempDir(), o, nil)
			defer whole.drain()
			prompt := someTokens(1, 700)
			want, _, _ := whole.answer(continued(prompt, 120))

			p := startProcess(t, model, dir, o, nil)
			if tt.killed { // in the middle of the answer
				a, err := p.Answer(t.Context(), continued(prompt, 120))
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for e, err := range a.Events(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					if n += len(e.Tokens); n >= 20 && p.Stats().Conversations.Files.Blocks >= 3 {
						break
					}
				}
				p.kill()
			} else {
				p.answer(continued(prompt, 120))
				p.drain()
			}
			p = startProcess(t, model, dir, o, nil)
			got, u, computed := p.answer(continued(prompt, 120))
			if u.Cached != 699 || u.CachedBy.Disk != 699 || computed != 120 {
				t.Errorf("after the restart %+v of the prompt were there, %d tokens were computed; want 699 and 120", u, computed)
			}
			if !slices.Equal(got, want) {
				t.Errorf("after the restart the answer is %v; want %v", got, want)
			}
			next := slices.Concat(prompt, got, someTokens(2, 20))
			if _, u, _ := p.answer(continued(next, 3)); u.Cached != 819 || u.CachedBy.Disk != 0 {
				t.Errorf("the next turn found %+v", u)
			}
			p.drain()
			if parts, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(parts) > 0 {
				t.Errorf("files are left that are not whole: %v", parts)
			}
			p = startProcess(t, model, dir, o, nil)
			defer p.drain()
			if _, u, _ := p.answer(continued(next, 3)); u.Cached != len(next)-1 {
				t.Errorf("the turn after another restart found %+v; want %d tokens", u, len(next)-1)
			}
			other := continued(prompt, 3)
			other.Salt = "other"
			if _, u, _ := p.answer(other); u.Cached != 0 {
				t.Errorf("another salt found %+v", u)
			}
		})
	}
}

// What was damaged in files is computed anew, and nobody sees more of it than the time.
func TestDamagedFilesAreComputedAnew(t *testing.T) {
	model, dir := servicetest.WriteModel(t), t.TempDir()
	o := ebb.Options{Context: 2048}
	p := startProcess(t, model, dir, o, nil)
	prompt := someTokens(1, 700)
	want, _, _ := p.answer(continued(prompt, 10))
	p.drain()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var second string // of the blocks
	for _, f := range files {
		if b, _ := os.ReadFile(f); len(b) > 4096 && (second == "" || strings.Compare(f, second) > 0) {
			second = f
		}
	}
	b, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	b[5000] ^= 1
	if err := os.WriteFile(second, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var said []string
	p = startProcess(t, model, dir, o, func(line string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, line)
	})
	defer p.drain()
	got, u, _ := p.answer(continued(prompt, 10))
	if !slices.Equal(got, want) || u.Cached%256 != 0 || u.Cached > 512 {
		t.Errorf("the answer is %v, and %+v was there; want %v, and what lies before the damage", got, u, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if stats := p.Stats().Conversations; stats.Damaged != 1 || len(said) == 0 {
		t.Errorf("stats are %+v, and the operator was told %q", stats, said)
	}
}

// Many conversations in little memory: all answers are right, none ends with an error, and with files
// nothing is computed twice.
func TestLittleMemoryEndsNoAnswer(t *testing.T) {
	for _, files := range []bool{false, true} {
		dir := ""
		if files {
			dir = t.TempDir()
		}
		model := servicetest.WriteModel(t)
		whole := startProcess(t, model, "", ebb.Options{Context: 1024}, nil)
		token := whole.engine.Stats().Cache.TokenBytes
		p := startProcess(t, model, dir, ebb.Options{Context: 1024, KVMemory: 1024 * token, Cache: kv.Dynamic}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var all sync.WaitGroup
		var waits atomic.Bool // one is listed as waiting
		for i := range 8 {
			all.Go(func() {
				talk := someTokens(uint64(i), 150+10*i)
				for turn := range 3 {
					r := continued(talk, 20)
					a, err := p.Answer(ctx, r)
					if err != nil {
						t.Error(err)
						return
					}
					texts, err := a.Texts(ctx)
					if slices.ContainsFunc(p.Conversations(""), func(i conversation.Info) bool { return i.Waits && i.Busy && !i.Parked }) {
						waits.Store(true)
					}
					if err != nil {
						t.Errorf("talk %d, turn %d: %v", i, turn, err)
						return
					}
					want, _, _ := whole.answer(r)
					for j, token := range texts[0].Tokens {
						if token.ID != want[j] {
							t.Errorf("talk %d, turn %d: token %d is %d; want %d", i, turn, j, token.ID, want[j])
							return
						}
						talk = append(talk, token.ID)
					}
					if u := a.Usage(); files && turn > 0 && u.Cached < len(r.Prompt)-22 {
						t.Errorf("talk %d, turn %d: %+v; want all but what is new cached", i, turn, u)
					}
					talk = append(talk, someTokens(uint64(1000+i), 20)...)
				}
			})
		}
		all.Wait()
		cancel()
		stats := p.Stats()
		if !waits.Load() {
			t.Errorf("with files: %v: no conversation was listed as waiting", files)
		}
		if slices.ContainsFunc(p.Conversations(""), func(i conversation.Info) bool { return i.Waits }) {
			t.Error("a conversation waits when all have ended")
		}
		if stats.Conversations.GivenUp == 0 {
			t.Errorf("with files: %v: memory was not short: %+v", files, stats)
		}
		if files && stats.Batch.Again > 0 {
			t.Errorf("with files %d tokens were computed again", stats.Batch.Again)
		}
		if peak := p.engine.Stats().Cache.DeviceBytesPeak; peak > 1024*token {
			t.Errorf("%d bytes were taken; %d are allowed", peak, 1024*token)
		}
		p.drain()
		whole.drain()
	}
}
