package ebb_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/session"
)

// beginning takes a sequence past a block, with a snapshot if the model has states; ending goes on with it,
// cuts it, forks it and goes on.
func beginning(t *testing.T, e *ebb.Engine) *kv.Seq {
	t.Helper()
	s := e.NewSeq()
	if err := s.SnapshotAt(150); err != nil {
		t.Fatal(err)
	}
	advance(t, e, s, prompt(1, 290))
	advance(t, e, s, prompt(2, 1))
	return s
}

func ending(t *testing.T, e *ebb.Engine, s *kv.Seq) (rows [][]float32) {
	t.Helper()
	rows = append(rows, advance(t, e, s, prompt(3, 1)), advance(t, e, s, prompt(4, 30)))
	f, err := s.Fork()
	if err != nil {
		t.Fatal(err)
	}
	defer closeSeq(t, f)
	rows = append(rows, advance(t, e, f, prompt(5, 2)))
	closeSeq(t, s)
	if err := f.Truncate(200); err != nil {
		t.Fatal(err)
	}
	return append(rows, advance(t, e, f, prompt(6, 70)), advance(t, e, f, prompt(7, 1)))
}

func advance(t *testing.T, e *ebb.Engine, s *kv.Seq, tokens []int32) []float32 {
	t.Helper()
	out, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: tokens, Logits: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return out[0][0]
}

// ownCache lets digests be remembered in a folder of the test's own. The libraries, which are in the
// user's cache, are loaded before.
func ownCache(t *testing.T) (user string) {
	t.Helper()
	requireDevice(t, "cpu")
	user = os.Getenv("XDG_CACHE_HOME")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return user
}

func openSession(t *testing.T, e *ebb.Engine, path string) *ebb.Session {
	t.Helper()
	s, err := e.OpenSession(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close a session: %v", err)
		}
	})
	return s
}

// saved returns a new session with what beginning makes.
func saved(t *testing.T, e *ebb.Engine) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "talk.ebb")
	s := openSession(t, e, path)
	seq := beginning(t, e)
	defer closeSeq(t, seq)
	if err := s.Save(t.Context(), seq, json.RawMessage(`{"said": "hello"}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRestoredSessionEqualsOneThatWasNeverClosed(t *testing.T) {
	ownCache(t)
	for name, model := range map[string]string{
		"alike":         testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 3}),
		"tiny-gemma4-e": modelPath("tiny-gemma4-e"), // windows, heads of two widths, and shared K/V
		"tiny-qwen35":   modelPath("tiny-qwen35"),   // states
	} {
		restoredEqual(t, name, model)
	}
}

func restoredEqual(t *testing.T, name, model string) {
	t.Helper()
	for _, p := range cpuPlaces { // package kv has a GPU
		t.Run(name+"/"+p.name, func(t *testing.T) {
			o := ebb.Options{Context: 512, ChunkTokens: 64, StepTokens: 256}
			var want [][]float32
			var path string
			for _, policy := range policies {
				o.Cache = policy
				e := p.open(t, model, o)
				if want == nil {
					path = saved(t, e)
					want = ending(t, e, beginning(t, e))
				}
				s := openSession(t, e, path)
				if got := string(s.Attached()); got != `{"said":"hello"}` {
					t.Errorf("attached: %s", got)
				}
				seq, err := s.Restore(t.Context(), len(s.Tokens()))
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(seq.Tokens(), s.Tokens()) || seq.Len() != 291 {
					t.Errorf("%d tokens; want 291", seq.Len())
				}
				if err := sameBits(ending(t, e, seq), want); err != nil {
					t.Errorf("%v: %v", policy, err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			o.Cache, o.Disk, o.HostMemory = kv.Offloaded, t.TempDir(), 200<<10
			e := p.open(t, model, o)
			seq, err := openSession(t, e, saved(t, e)).Restore(t.Context(), 291)
			if err != nil {
				t.Fatal(err)
			}
			if err := sameBits(ending(t, e, seq), want); err != nil {
				t.Errorf("on disk: %v", err)
			}
		})
	}
}

// Another process goes on with a session, and while it has it no other does.
func TestAnotherProcessRestoresASession(t *testing.T) {
	requireDevice(t, "cpu")
	if path := os.Getenv("EBB_TEST_SESSION"); path != "" {
		e := cpuCopies.open(t, os.Getenv("EBB_TEST_SESSION_MODEL"), ebb.Options{Context: 512, Cache: kv.Offloaded})
		seq, err := openSession(t, e, path).Restore(t.Context(), 291)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(ending(t, e, seq)) // of float32 it gives every bit back
		if err == nil {
			err = os.WriteFile(os.Getenv("EBB_TEST_SESSION_OUT"), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	cache := ownCache(t)
	model := testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 3})
	e := cpuInPlace.open(t, model, ebb.Options{Context: 512})
	path, out := saved(t, e), filepath.Join(t.TempDir(), "rows")
	other := func() ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAnotherProcessRestoresASession$", "-test.v")
		cmd.Env = append(os.Environ(), "EBB_TEST_SESSION="+path, "EBB_TEST_SESSION_MODEL="+model, "EBB_TEST_SESSION_OUT="+out, "XDG_CACHE_HOME="+cache)
		return cmd.CombinedOutput()
	}
	if text, err := other(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]float32
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if err := sameBits(got, ending(t, e, beginning(t, e))); err != nil {
		t.Error(err)
	}
	held := openSession(t, e, path)
	if _, err := e.OpenSession(path); !errors.Is(err, session.ErrLocked) {
		t.Errorf("%v; want %v", err, session.ErrLocked)
	}
	if text, err := other(); err == nil {
		t.Errorf("a second process has the session:\n%s", text)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
}

func TestSessionsThatDoNotFitAreRefused(t *testing.T) {
	ownCache(t)
	model := testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 3})
	e := cpuInPlace.open(t, model, ebb.Options{Context: 512})
	path := saved(t, e)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refuses := func(what string, e *ebb.Engine, want error) {
		t.Helper()
		for range 2 { // an error gives the lock back
			if _, err := e.OpenSession(path); !errors.Is(err, want) {
				t.Errorf("%s: %v; want %v", what, err, want)
			}
		}
	}
	refuses("other weights", cpuInPlace.open(t, testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 4}), ebb.Options{Context: 512}), session.ErrModel)
	refuses("another K/V type", cpuInPlace.open(t, model, ebb.Options{Context: 512, KVType: "q8_0"}), session.ErrModel)
	if _, err := openSession(t, cpuInPlace.open(t, model, ebb.Options{Context: 256}), path).Restore(t.Context(), 291); !errors.Is(err, kv.ErrFull) {
		t.Errorf("291 tokens into a context of 256: %v; want %v", err, kv.ErrFull)
	}

	damage := func(change func(b []byte) []byte) {
		if err := os.WriteFile(path, change(slices.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(t.TempDir(), "damaged.ebb")
	damage(func(b []byte) []byte { b[0]++; return b })
	refuses("another kind of file", e, session.ErrFormat)
	damage(func(b []byte) []byte { b[40]++; return b })
	refuses("a damaged header", e, session.ErrDamaged)
}

// Rows that are damaged are an error before anything is computed with them, and the tokens are there to
// be computed anew.
func TestDamagedRowsOfASessionAreComputedAnew(t *testing.T) {
	ownCache(t)
	model := testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 3})
	for _, o := range []ebb.Options{{Context: 512}, {Context: 512, Cache: kv.Offloaded, ForcedCopies: true}} {
		e := cpuInPlace.open(t, model, o)
		path := saved(t, e)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := ending(t, e, beginning(t, e))
		before := e.Stats()
		for at, damage := range map[string]func(b []byte) []byte{
			"the last byte is missing":      func(b []byte) []byte { return b[:len(b)-1] },
			"only the beginning is there":   func(b []byte) []byte { return b[:8000] },
			"the last block is damaged":     func(b []byte) []byte { b[len(b)-1] ^= 4; return b },
			"a block in between is damaged": func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
			"the first block is damaged":    func(b []byte) []byte { b[5000] ^= 4; return b },
		} {
			if err := os.WriteFile(path, damage(slices.Clone(whole)), 0o600); err != nil {
				t.Fatal(err)
			}
			s := openSession(t, e, path)
			seq, err := s.Restore(t.Context(), 291)
			if err == nil {
				_, err = e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: prompt(3, 1), Logits: 1}})
				if again := seq.Wait(t.Context()); !errors.Is(again, session.ErrDamaged) {
					t.Errorf("%s: then %v; want %v", at, again, session.ErrDamaged)
				}
				closeSeq(t, seq)
			}
			if !errors.Is(err, session.ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v; want %v and the file's name", at, err, session.ErrDamaged)
			}
			after := e.Stats()
			if after.Cache.DeviceBytes != before.Cache.DeviceBytes || after.Cache.HostBytes != before.Cache.HostBytes || after.Device.Total() != before.Device.Total() {
				t.Errorf("%s: %+v is left; want %+v", at, after, before)
			}
			anew := e.NewSeq() // as beginning has computed them
			advance(t, e, anew, s.Tokens()[:290])
			advance(t, e, anew, s.Tokens()[290:])
			if err := sameBits(ending(t, e, anew), want); err != nil {
				t.Errorf("%s: %v", at, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A session is opened before its engine, and then bound to it.
func TestASessionIsOpenedBeforeItsEngine(t *testing.T) {
	ownCache(t)
	model := testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 3})
	e := cpuInPlace.open(t, model, ebb.Options{Context: 512})
	path := saved(t, e)
	for _, tt := range []struct {
		model string
		o     ebb.Options
		want  error
	}{
		{testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 4}), ebb.Options{}, session.ErrModel},
		{model, ebb.Options{KVType: "f32"}, session.ErrModel},
		{filepath.Join(t.TempDir(), "none"), ebb.Options{}, fs.ErrNotExist},
	} {
		for range 2 {
			if _, err := ebb.OpenSession(path, tt.model, tt.o); !errors.Is(err, tt.want) {
				t.Errorf("%v; want %v", err, tt.want)
			}
		}
	}
	if _, err := ebb.OpenSession(path, model, ebb.Options{KVType: "f15"}); err == nil {
		t.Error("opened for an unknown type")
	}
	s, err := ebb.OpenSession(path, model, ebb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ebb.OpenSession(path, model, ebb.Options{}); !errors.Is(err, session.ErrLocked) {
		t.Errorf("%v; want %v", err, session.ErrLocked)
	}
	if _, err := s.Restore(t.Context(), 1); err == nil {
		t.Error("restored into no engine")
	}
	if err := s.Save(t.Context(), e.NewSeq(), nil); err == nil {
		t.Error("saved from no engine")
	}
	if err := s.Bind(cpuInPlace.open(t, model, ebb.Options{Context: 512, KVType: "f32"})); err == nil {
		t.Error("bound to an engine with another type")
	}
	if err := s.Bind(e); err != nil {
		t.Fatal(err)
	}
	seq, err := s.Restore(t.Context(), 291)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // the rows are still read
		t.Fatal(err)
	}
	if err := sameBits(ending(t, e, seq), ending(t, e, beginning(t, e))); err != nil {
		t.Error(err)
	}
}

// Only the blocks of the tokens that are wanted are read.
func TestAPrefixOfASessionIsRestored(t *testing.T) {
	ownCache(t)
	e := cpuInPlace.open(t, testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 3}), ebb.Options{Context: 512})
	s := openSession(t, e, saved(t, e))
	info, err := os.Stat(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	want := e.NewSeq()
	advance(t, e, want, prompt(1, 100))
	seq, err := s.Restore(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameBits([][]float32{advance(t, e, seq, prompt(2, 1))}, [][]float32{advance(t, e, want, prompt(2, 1))}); err != nil {
		t.Error(err)
	}
	if got := e.Stats().Cache.RestoredBytes; got == 0 || got > info.Size()/2 {
		t.Errorf("%d bytes were read for one of two blocks; want at most half of %d", got, info.Size())
	}
	for _, n := range []int{-1, 292} {
		if _, err := s.Restore(t.Context(), n); err == nil {
			t.Errorf("%d of 291 tokens were restored", n)
		}
	}
}

func TestSaveThatFailsKeepsTheSession(t *testing.T) {
	ownCache(t)
	e := cpuInPlace.open(t, testmodel.WriteFile(t, testmodel.Options{Layers: 3, Seed: 3}), ebb.Options{Context: 512})
	path := saved(t, e)
	s := openSession(t, e, path)
	seq := e.NewSeq()
	defer closeSeq(t, seq)
	advance(t, e, seq, prompt(9, 300))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Save(cancelled, seq, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := s.Save(t.Context(), seq, json.RawMessage("{")); err == nil {
		t.Error("what is no JSON was attached")
	}
	back, err := s.Restore(t.Context(), len(s.Tokens()))
	if err != nil || back.Len() != 291 {
		t.Fatalf("%v; want 291 tokens", err)
	}
	closeSeq(t, back)
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) != 1 {
		t.Errorf("beside the session there are %q; want its lock", left)
	}
	if err := s.Save(t.Context(), seq, nil); err != nil {
		t.Fatal(err)
	}
	if len(s.Tokens()) != 300 || s.Attached() != nil {
		t.Errorf("%d tokens and %q; want 300 and nothing", len(s.Tokens()), s.Attached())
	}
}
