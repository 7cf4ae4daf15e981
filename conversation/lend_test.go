package conversation

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// A request for which there is no room beside a conversation that is read from files for an export waits until
// that is given back.
func TestARequestWaitsForAnExport(t *testing.T) {
	o := ebb.Options{Context: 512, Cache: kv.Offloaded, ForcedCopies: true, KVType: "f32", Threads: 1}
	e, err := ebb.Open("../testdata/models/tiny-gqa.gguf", o)
	if err != nil {
		t.Fatal(err)
	}
	o.Tier = stack.New(host.NewExact, nil, 3*kv.Block*e.Stats().Cache.TokenBytes).New
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e, err = ebb.Open("../testdata/models/tiny-gqa.gguf", o); err != nil {
		t.Fatal(err)
	}
	s, err := New(e, Options{Dir: t.TempDir(), DirBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	first, second := slices.Repeat([]int32{20, 21}, 150), slices.Repeat([]int32{30, 31}, 150) // two blocks of three each
	c := take(t, s, first)
	_, err = e.Prefill(t.Context(), c.Seq(), first, 1)
	if err := errors.Join(err, s.Put(t.Context(), c, nil), s.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if made, err := s.MakeRoom(t.Context(), nil); !made || err != nil {
		t.Fatal(made, err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	seq, err := s.Fork(ctx, "", c.ID)
	if err != nil {
		t.Fatal(err)
	}
	waits := s.Batch(ebb.BatchOptions{})
	coming := waits.Coming
	waits.Coming = func() <-chan struct{} {
		room := coming()
		if room != nil {
			if err := seq.Close(); err != nil {
				t.Error(err)
			}
			end()
		}
		return room
	}
	b := e.NewBatch(waits)
	c = take(t, s, second)
	g, err := b.Add(ebb.Request{Seq: c.Seq(), Keep: true, Prompt: second, Config: ebb.GenerationConfig{MaxNewTokens: 5}})
	if err := errors.Join(err, b.Run(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := g.Err(); err != nil {
		t.Errorf("beside an export: %v; want a request to wait for its room", err)
	}
	if s.coming() != nil {
		t.Error("what was given back is still lent")
	}
	if err := errors.Join(b.Close(), s.Put(t.Context(), c, nil), seq.Close(), s.Close(), e.Close()); err != nil {
		t.Error(err)
	}
}
