package service_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/service"
)

// Models with recurrent layers go on where a snapshot is: at the end of a conversation, where a prompt has
// left one before, and in files.
func TestHybridsGoOnFromSnapshots(t *testing.T) {
	model := filepath.Join(t.TempDir(), "hybrid.gguf")
	if err := os.WriteFile(model, testmodel.Golden(t, "tiny-qwen35"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := ebb.Options{Context: 2048}
	dir := t.TempDir()
	p := startProcess(t, model, dir, o, nil)
	whole := startProcess(t, model, "", o, nil)
	defer whole.drain()
	system := someTokens(1, 100)
	talk := slices.Concat(system, someTokens(2, 300))
	turn := func(name string, prompt []int32, cached int) []int32 {
		t.Helper()
		ids, u, computed := p.answer(continued(prompt, 10))
		if u.Cached != cached || computed != len(prompt)-cached+9 {
			t.Errorf("%s: %d of %d tokens were there, %d were computed; want %d", name, u.Cached, len(prompt), computed, cached)
		}
		if want, _, _ := whole.answer(service.Request{Prompt: prompt, Config: continued(nil, 10).Config, Salt: name}); !slices.Equal(ids, want) {
			t.Errorf("%s: the answer is %v; want %v", name, ids, want)
		}
		return ids
	}
	ids := turn("first", talk, 0)
	next := slices.Concat(talk, ids, someTokens(3, 20))
	nextIDs := turn("next", next, len(next)-21)
	turn("title", slices.Concat(system, someTokens(4, 30)), 0) // no state is kept there yet
	turn("another", slices.Concat(system, someTokens(5, 30)), 100)
	p.drain()
	p = startProcess(t, model, dir, o, nil)
	defer p.drain()
	after := slices.Concat(next, nextIDs, someTokens(6, 20))
	turn("after a restart", after, len(after)-21)
}

// A text is the same alone and beside seven others, some of them of the same conversation.
func TestATextIsTheSameBesideOthers(t *testing.T) {
	for _, policy := range []kv.Policy{kv.Auto, kv.Offloaded} {
		p := openCounted(t, ebb.Options{Context: 1024, Cache: policy, ForcedCopies: true})
		alone := openCounted(t, ebb.Options{Context: 1024, Cache: policy, ForcedCopies: true})
		shared := someTokens(1, 120)
		var all sync.WaitGroup
		var wrong atomic.Int64
		for i := range 8 {
			all.Go(func() {
				prompt := someTokens(uint64(10+i), 40+30*i)
				if i%2 == 0 {
					prompt = slices.Concat(shared, prompt)
				}
				r := continued(prompt, 30)
				if i%3 == 0 {
					r.Config.DoSample, r.Config.Seed = true, new(uint64(i))
				}
				got, _, _ := p.answer(r)
				r.Salt = string(rune('a' + i))
				if want, _, _ := alone.answer(r); !slices.Equal(got, want) {
					wrong.Add(1)
				}
			})
		}
		all.Wait()
		if n := wrong.Load(); n > 0 {
			t.Errorf("%v: %d of 8 texts differ beside others", policy, n)
		}
	}
}
