package kv

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
)

// raceOptions returns a cache in which rows move all the time.
func raceOptions(policy Policy) Options {
	o := rigOptions(policy, 5, ggml.F32)
	o.ForcedCopies, o.ChunkTokens = true, 20
	return o
}

// turns takes a rig through steps, one a call: prefill in two chunks, decoding, now and then a
// second sequence.
func turns(r *rig) func() []byte {
	a, b := r.pool.NewSeq(), r.pool.NewSeq()
	i := -1
	return func() []byte {
		i++
		switch {
		case i == 0:
			return r.grow(growth{a, 40})
		case i%7 == 3:
			return r.grow(growth{b, 20}, growth{a, 1})
		default:
			return r.grow(growth{a, 1})
		}
	}
}

// bitsOfStatic returns the outputs of that many turns where nothing moves.
func bitsOfStatic(t rapid.TB, b *ggml.Backend, n int) [][]byte {
	t.Helper()
	want, _ := played(t, b, raceOptions(Static), func(r *rig) {
		turn := turns(r)
		for range n {
			turn()
		}
	})
	finite(t, want)
	return want
}

// firstWrong returns the first turn whose output is not as wanted, or -1.
func firstWrong(t rapid.TB, b *ggml.Backend, h hooks, compute time.Duration, want [][]byte) int {
	t.Helper()
	r := newRig(t, b, raceOptions(Offloaded))
	defer r.close()
	r.pool.hooks = h
	r.during = func(*Layer) { time.Sleep(compute) }
	turn := turns(r)
	for i := range want {
		if !bytes.Equal(turn(), want[i]) {
			return i
		}
	}
	return -1
}

// Copies that take a random time, and slots that are NaN as soon as they are free, change no bit.
func TestDelayedCopiesAndPoisonedSlotsChangeNothing(t *testing.T) {
	tests := []struct {
		name  string
		open  func(rapid.TB) *ggml.Backend
		turns int
		seeds uint64
		most  time.Duration
	}{
		{"cpu", onCPU, 40, 4, 300 * time.Microsecond},
		{"vulkan", onVulkan, 10, 1, 30 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.open(t)
			want := bitsOfStatic(t, b, tt.turns)
			for seed := range tt.seeds {
				if i := firstWrong(t, b, hooks{beforeCopy: delays(seed, tt.most), freed: poison}, 0, want); i >= 0 {
					t.Errorf("seed %d: turn %d differs from static", seed, i)
				}
			}
		})
	}
}

// The control arms: without any one of the walk's waits the test above fails, even where slots are
// not poisoned. The side that waits no more is the faster one, or it would find things done by
// chance.
func TestEveryWaitOfTheWalkIsNeeded(t *testing.T) {
	arms := []struct {
		name          string
		broken        broken
		copy, compute bool // is slow
	}{
		{"use before the fetch has finished", useUnfetched, true, false},
		{"fetch into a slot in use", fetchIntoUsed, false, true},
		{"fetch into a slot before its rows are stored", fetchBeforeStore, false, false},
	}
	tests := []struct {
		name string
		open func(rapid.TB) *ggml.Backend
		slow time.Duration // longer than a copy, and than a layer computes
	}{
		{"cpu", onCPU, 5 * time.Millisecond},
		{"vulkan", onVulkan, 30 * time.Millisecond},
	}
	const most = 5 // turns
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.open(t)
			want := bitsOfStatic(t, b, most)
			for _, arm := range arms {
				t.Run(arm.name, func(t *testing.T) {
					h, compute := hooks{}, time.Duration(0)
					if arm.copy {
						h.beforeCopy = func() { time.Sleep(tt.slow) }
					}
					if arm.compute {
						compute = tt.slow
					}
					if i := firstWrong(t, b, h, compute, want); i >= 0 {
						t.Fatalf("with the wait: turn %d differs from static", i)
					}
					if raceDetector {
						return // it would rightly report what is broken on purpose
					}
					h.broken = arm.broken
					i := firstWrong(t, b, h, compute, want)
					if i < 0 {
						t.Fatalf("without the wait: not noticed in %d turns", most)
					}
					t.Logf("noticed in turn %d", i)
				})
			}
		})
	}
}

// poison makes freed slots NaN, and the pool forget what they held.
func poison(s *slot) {
	for _, r := range s.views {
		r.fill(0xFF, 0, r.cells)
		s.dirty = r.cells
	}
	s.holds = holding{}
}

// delays returns a hook that sleeps a random time up to most.
func delays(seed uint64, most time.Duration) func() {
	var mu sync.Mutex // rows are fetched and stored at the same time
	r := rand.New(rand.NewPCG(seed, 1))
	return func() {
		mu.Lock()
		d := time.Duration(r.Int64N(int64(most)))
		mu.Unlock()
		time.Sleep(d)
	}
}
