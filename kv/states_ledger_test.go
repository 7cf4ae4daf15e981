package kv

import (
	"context"
	"math"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/plan"
)

// In a recurrent layer of a ledger, all values of a state are the same number: a digest of the tokens so
// far, in their order.

// digest returns the state of a layer after a token, from the one before.
func digest(before float32, token int32, layer int) float32 {
	const prime = 65521 // its products with 31 are exact in f32
	return float32((int(before)*31 + int(token)%prime*7 + layer + 1) % prime)
}

// stateOf returns the state of a layer after tokens.
func stateOf(tokens []int32, layer int) (state float32) {
	for _, t := range tokens {
		state = digest(state, t, layer)
	}
	return state
}

// computedAfterTruncate returns how many tokens of a sequence have their state if it is truncated to n.
func computedAfterTruncate(s *Seq, n int) (computed int) {
	if s.pool.states == nil || n >= len(s.tokens) {
		return min(n, len(s.tokens))
	}
	for _, k := range s.drafts {
		if k.tokens <= n {
			computed = max(computed, k.tokens)
		}
	}
	for _, one := range s.snapshots {
		if one.tokens <= n {
			computed = max(computed, one.tokens)
		}
	}
	return computed
}

// recur computes a recurrent layer: it compares each state that a recurrence begins with, and writes
// those that are to be kept.
func (l *ledger) recur(ctx context.Context, s *Step, layer *Layer) error {
	l.t.Helper()
	at := layer.States()
	for i, c := range s.Chunks() {
		if err := layer.Prepare(ctx, i); err != nil {
			return err
		}
		token := c.First
		for _, r := range s.Recurrences(i) {
			if r.First != token || r.N < 1 || len(r.To) < 1 || len(r.To) > r.N {
				l.t.Fatalf("chunk %d, token %d: recurrence %+v", i, token, r)
			}
			token += r.N
			tokens := s.Tokens()[r.First:token]
			seen := l.sees[tokens[0]]
			state := l.state(at.T, r.From, layer.Index)
			if want := stateOf(seen[:len(seen)-1], layer.Index); state != want {
				l.t.Fatalf("layer %d: token %d begins with state %v; want %v", layer.Index, r.First, state, want)
			}
			for n, t := range tokens {
				state = digest(state, t, layer.Index)
				if back := r.N - 1 - n; back < len(r.To) {
					l.setState(at.T, r.To[back], layer.Index, state)
				}
			}
		}
		if token != c.First+c.N {
			l.t.Fatalf("chunk %d: the recurrences end at token %d; want %d", i, token, c.First+c.N)
		}
	}
	return nil
}

// state returns the state in a place, all of whose values must be the same.
func (l *ledger) state(t *ggml.Tensor, place, layer int) float32 {
	l.t.Helper()
	values := make([]float32, l.pool.config.shapes[layer].State)
	ggml.GetSlice(t, values, int64(place)*t.Nb(1))
	if i := slices.IndexFunc(values, func(v float32) bool { return v != values[0] }); i >= 0 {
		l.t.Fatalf("layer %d: a state begins with %v and has %v at %d", layer, values[0], values[i], i)
	}
	return values[0]
}

func (l *ledger) setState(t *ggml.Tensor, place, layer int, state float32) {
	ggml.SetSlice(t, slices.Repeat([]float32{state}, l.pool.config.shapes[layer].State), int64(place)*t.Nb(1))
}

// countPlaces notes how many places a step of a batch may take: of the states that are held, of those that
// it writes, and of one more of each sequence for the step after it.
func (l *ledger) countPlaces(batch []Work) {
	l.pool.mu.Lock() // sequences may be copied meanwhile
	defer l.pool.mu.Unlock()
	s := l.pool.states
	if s == nil {
		return
	}
	places := len(s.holders) - s.free()
	for _, w := range batch {
		places += plan.SequenceStates + w.Drafts
	}
	l.most = max(l.most, places)
}

// checkStates compares the states that are held, and who holds them, with the account. What nobody holds
// is made NaN.
func (l *ledger) checkStates() {
	l.t.Helper()
	all := l.pool.states
	if all == nil {
		return
	}
	holders := make([]int32, len(all.holders))
	l.pool.snapshots.eachPlace(func(place int) {
		if place != nowhere {
			holders[place]++
		}
	})
	for t := range l.pool.trees {
		if r := t.restoring.Load(); r != nil && r.state != nil {
			holders[r.state.place]++ // as long as something may be written there
		}
	}
	snapshots := map[*snapshot]int{}
	for s := range l.tokens {
		begin := 0 // where it goes on without a state
		for _, one := range s.snapshots {
			if one.tokens <= begin || one.tokens > len(s.tokens) {
				l.t.Fatalf("snapshots after %d and %d of %d tokens", begin, one.tokens, len(s.tokens))
			}
			begin = one.tokens
			snapshots[one]++
		}
		if s.state == nowhere && begin != len(s.tokens) {
			l.t.Fatalf("a sequence with %d tokens has no state, and its last snapshot is after %d", len(s.tokens), begin)
		}
		for _, k := range append(slices.Clone(s.drafts), kept{len(s.tokens), s.state}) {
			if k.place == nowhere {
				continue
			}
			holders[k.place]++
			for _, layer := range all.layers {
				if arriving(s) {
					break
				}
				if got, want := l.state(all.memory[layer].T, k.place, layer), stateOf(s.tokens[:k.tokens], layer); got != want {
					l.t.Fatalf("layer %d: the state after %d of %d tokens is %v; want %v", layer, k.tokens, len(s.tokens), got, want)
				}
			}
		}
	}
	l.checkSnapshots(snapshots)
	if !slices.Equal(all.holders, holders) {
		l.t.Fatalf("states are held %v times; want %v", all.holders, holders)
	}
	for place, n := range holders {
		for _, layer := range all.layers {
			if n == 0 {
				l.setState(all.memory[layer].T, place, layer, float32(math.NaN()))
			}
		}
	}
	l.checkStateBytes()
}

// checkSnapshots compares the snapshots that are kept with those that sequences hold.
func (l *ledger) checkSnapshots(holders map[*snapshot]int) {
	l.t.Helper()
	k := l.pool.snapshots
	if k == nil {
		return
	}
	if len(k.kept) != len(holders) || len(k.kept) > k.most {
		l.t.Fatalf("%d snapshots are kept, and sequences hold %d; want at most %d", len(k.kept), len(holders), k.most)
	}
	for _, one := range k.kept {
		if one.holders != holders[one] {
			l.t.Fatalf("the snapshot after %d tokens is held %d times; want %d", one.tokens, one.holders, holders[one])
		}
	}
}

// checkStateBytes compares the memory of the states with the formula, and with how many places steps may
// have needed. After an allocation that failed, some layers have more places than others.
func (l *ledger) checkStateBytes() {
	l.t.Helper()
	all, each, sum, largest := l.pool.states, int64(0), int64(0), int64(0)
	for _, layer := range all.layers {
		bytes, places := int64(l.pool.config.shapes[layer].State+63)/64*64*4, all.memory[layer].places()
		each, sum, largest = each+bytes, sum+bytes*int64(places), max(largest, bytes)
		if places < len(all.holders) || !l.pool.config.policy.fixed() && places > l.most {
			l.t.Fatalf("layer %d has %d places for states, of which %d are known; want %d at most", layer, places, len(all.holders), l.most)
		}
	}
	got, off, stages := l.pool.Stats(), l.pool.statesOff(), int64(0)
	for _, d := range l.pool.devices {
		stages += d.stage.bytes()
	}
	if got.StateBytes != each || got.StatesBytes-stages+off != sum {
		l.t.Fatalf("states take %d bytes each and %d together, and %d off their devices; want %d and %d", got.StateBytes, got.StatesBytes-stages, off, each, sum)
	}
	if stages > int64(l.most)*largest*int64(len(l.pool.devices)) || stages > 0 && off == 0 {
		l.t.Fatalf("states visit devices in %d bytes; want those of a layer, and none if no state is off a device", stages)
	}
}
