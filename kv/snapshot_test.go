package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// hybridValues is how many values a state of the hashers has: not a whole number of alignments.
const hybridValues = 100

// hashedLayers returns options for two recurrent layers with a layer between them that keeps rows.
func hashedLayers(every int) Options {
	recurrent := Shape{State: hybridValues}
	return Options{
		Layers: []Shape{recurrent, {Heads: 1, KeyDim: 1, ValueDim: 1}, recurrent}, Policy: Dynamic,
		TypeK: ggml.F32, TypeV: ggml.F32, Cells: 700, ChunkTokens: 32, StepTokens: 256,
		Tier: stack.New(host.NewExact, nil, -1).New, SnapshotEvery: every,
	}
}

// hasher takes sequences through steps of recurrent layers whose state is a hash of all tokens, so that a
// state which is of other tokens, or of too many, is found by the next step.
type hasher struct {
	t    rapid.TB
	pool *Pool
	last int32
	want map[*Seq][]int32 // the tokens of each sequence
}

func newHasher(t *testing.T, o Options) *hasher {
	t.Helper()
	p, err := NewPool(o, ownCPU(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	return &hasher{t: t, pool: p, want: map[*Seq][]int32{}}
}

func (h *hasher) close() {
	h.t.Helper()
	if err := h.pool.Close(); err != nil {
		h.t.Error(err)
	}
	for s := range h.want {
		if err := s.Close(); err != nil {
			h.t.Errorf("close a sequence after its pool: %v", err)
		}
	}
}

func (h *hasher) seq() *Seq {
	s := h.pool.NewSeq()
	h.want[s] = nil
	return s
}

func (h *hasher) fork(s *Seq) *Seq {
	h.t.Helper()
	f := forkOf(h.t, s)
	h.want[f] = slices.Clone(h.want[s])
	return f
}

func (h *hasher) truncate(s *Seq, n int) {
	h.t.Helper()
	if err := s.Truncate(n); err != nil {
		h.t.Fatal(err)
	}
	h.want[s] = h.want[s][:n:n]
	if got := s.Tokens(); !slices.Equal(got, h.want[s]) {
		h.t.Fatalf("%d tokens after truncating to %d: %v", len(got), n, got)
	}
}

func (h *hasher) snapshotAt(s *Seq, n int) {
	h.t.Helper()
	if err := s.SnapshotAt(n); err != nil {
		h.t.Fatal(err)
	}
}

// grow takes n new tokens of a sequence through as many steps as a runner takes.
func (h *hasher) grow(s *Seq, n int) {
	h.t.Helper()
	if err := h.try(s, n, 0); err != nil {
		h.t.Fatal(err)
	}
}

// try is grow with guesses among the last tokens. If a snapshot cannot be read it begins again.
func (h *hasher) try(s *Seq, n, drafts int) error {
	h.t.Helper()
	tokens := make([]int32, n)
	for i := range tokens {
		h.last++
		tokens[i] = h.last
	}
	want := append(slices.Clone(h.want[s]), tokens...)
	before := s.Len()
	for len(tokens) > 0 {
		all := append(s.Pending(), tokens...)
		take := min(len(all), h.pool.StepTokens())
		if next := s.NextSnapshot(); next > 0 && next < len(all)-drafts {
			take = min(take, next)
		}
		w := Work{Seq: s, Tokens: all[:take]}
		if take == len(all) {
			w.Drafts = min(drafts, take-1)
		}
		pending := len(s.Pending())
		err := h.step(w)
		if _, ok := errors.AsType[*PendingError](err); ok {
			continue
		}
		if err != nil {
			return errors.Join(err, s.Truncate(before))
		}
		tokens = tokens[max(0, take-pending):]
	}
	h.want[s] = want
	return nil
}

// step takes works through one step, and compares the states that they end with.
func (h *hasher) step(works ...Work) error {
	h.t.Helper()
	ctx := context.Background()
	s, err := h.pool.Begin(ctx, works)
	if err != nil {
		return err
	}
	defer func() {
		if err := s.Close(); err != nil {
			h.t.Error(err)
		}
	}()
	for layer, err := range s.Layers(ctx) {
		if err != nil {
			return err
		}
		t := layer.States().T
		for i := range s.Chunks() {
			if err := layer.Prepare(ctx, i); err != nil {
				return err
			}
			for _, r := range s.Recurrences(i) {
				if t != nil {
					h.hash(t, r, s.Tokens(), s.Positions())
				}
			}
		}
	}
	return s.Commit()
}

// hash takes tokens through a recurrence.
func (h *hasher) hash(t *ggml.Tensor, r Recurrence, tokens, positions []int32) {
	h.t.Helper()
	at := func(place int) int64 { return int64(place) * t.Nb(1) }
	state := make([]byte, 4*hybridValues)
	t.Get(state, at(r.From))
	from := readState(h.t, state)
	if from.tokens != positions[r.First] {
		h.t.Fatalf("the state is of %d tokens; want %d", from.tokens, positions[r.First])
	}
	for i := range r.N {
		from = from.after(tokens[r.First+i])
		if back := r.N - 1 - i; back < len(r.To) {
			t.Set(from.bytes(), at(r.To[back]))
		}
	}
}

// hashed is the state of some tokens: how many they are, and their hash.
type hashed struct{ tokens, hash int32 }

func (s hashed) after(token int32) hashed { return hashed{s.tokens + 1, (s.hash*31 + token) % 65521} }

func (s hashed) bytes() (b []byte) {
	for i := range int32(hybridValues) {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32([]int32{s.tokens, s.hash}[i%2])))
	}
	return b
}

// readState reads a state, all of which must be of the same tokens.
func readState(t rapid.TB, b []byte) hashed {
	t.Helper()
	at := func(i int) int32 { return int32(math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))) }
	s := hashed{at(0), at(1)}
	if !slices.Equal(s.bytes(), b) {
		t.Fatalf("a state of parts: %v", b[:16])
	}
	return s
}

// check compares the states of all sequences that have one, and the pool's counters.
func (h *hasher) check() {
	h.t.Helper()
	for s, tokens := range h.want {
		var want hashed
		n := len(tokens) - len(s.Pending())
		for _, token := range tokens[:n] {
			want = want.after(token)
		}
		if s.state == nowhere {
			continue
		}
		for _, l := range h.pool.states.layers {
			state := make([]byte, 4*hybridValues)
			t := stateTensor(h.pool, l)
			t.Get(state, int64(s.state)*t.Nb(1))
			if got := readState(h.t, state); got != want {
				h.t.Fatalf("layer %d: the state is %v; want %v", l, got, want)
			}
		}
	}
	h.pool.mu.Lock()
	defer h.pool.mu.Unlock()
	holders := map[*snapshot]int{}
	for s := range h.want {
		before := 0
		for _, one := range s.snapshots {
			if holders[one]++; one.tokens <= before || one.tokens > len(s.tokens) {
				h.t.Fatalf("a snapshot after %d tokens behind one after %d, of %d", one.tokens, before, len(s.tokens))
			}
			before = one.tokens
		}
		if s.state == nowhere && len(s.tokens) != before {
			h.t.Fatalf("%d tokens without a state, and the last snapshot is after %d", len(s.tokens), before)
		}
	}
	k := h.pool.snapshots
	if len(holders) != len(k.kept) || len(k.kept) > k.most {
		h.t.Fatalf("%d snapshots of sequences, and %d are kept: at most %d", len(holders), len(k.kept), k.most)
	}
	for _, one := range k.kept {
		if one.holders != holders[one] || one.holders == 0 {
			h.t.Fatalf("a snapshot of %d sequences counts %d", holders[one], one.holders)
		}
	}
}

func stateTensor(p *Pool, layer int) *ggml.Tensor { return p.states.memory[layer].T }

// settled waits until all copies have ended.
func (h *hasher) settled() Stats {
	h.pool.mu.Lock()
	h.pool.finishSnapshots()
	h.pool.mu.Unlock()
	return h.pool.Stats()
}

// tokensOf lists after how many tokens a sequence has snapshots.
func tokensOf(s *Seq) (all []int) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	for _, one := range s.snapshots {
		all = append(all, one.tokens)
	}
	return all
}

func TestTruncationGoesToTheNearestSnapshot(t *testing.T) {
	for _, tt := range []struct{ to, again int }{
		{300, 0}, {299, 29}, {271, 1}, {270, 0}, {269, 69}, {201, 1}, {200, 0}, {150, 50}, {100, 0}, {99, 99}, {1, 1}, {0, 0},
	} {
		for _, settle := range []bool{false, true} { // from tiers, or from the place that is still being copied
			t.Run(fmt.Sprintf("%d,%v", tt.to, settle), func(t *testing.T) {
				h := newHasher(t, hashedLayers(100))
				defer h.close()
				s := h.seq()
				h.snapshotAt(s, 270)
				h.grow(s, 299)
				h.grow(s, 1)
				if got, want := tokensOf(s), []int{100, 200, 270, 300}; !slices.Equal(got, want) {
					t.Fatalf("snapshots after %v tokens; want %v", got, want)
				}
				if settle {
					if st := h.settled(); st.Snapshots != 4 || st.SnapshotBytes != 4*st.StateBytes || st.HostBytes != st.SnapshotBytes {
						t.Errorf("%d snapshots of %d bytes, %d in host memory; want 4 of %d", st.Snapshots, st.SnapshotBytes, st.HostBytes, st.StateBytes)
					}
				}
				h.truncate(s, tt.to)
				if got := len(s.Pending()); got != tt.again {
					t.Errorf("%d tokens are computed again; want %d", got, tt.again)
				}
				h.check()
				h.grow(s, 5)
				h.grow(s, 1)
				h.check()
				if got := h.pool.Stats().RecomputedTokens; got != tt.again {
					t.Errorf("%d tokens were computed again; want %d", got, tt.again)
				}
			})
		}
	}
}
