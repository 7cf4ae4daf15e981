package exec

import (
	"testing"

	"github.com/seed4d217819/ebb/kv"
)

func TestTraverseMakesTheCopiesOfAStepAndLeavesTheSequenceUsable(t *testing.T) {
	s := setting{Options: Options{Cache: kv.Options{Policy: kv.Offloaded, ForcedCopies: true, ResidentLayers: 1}}}
	s.devices = cpu
	r := s.mustOpen(t)
	seq := r.pool.NewSeq()
	decode := func() (logits []float32, fetched, stored int64) {
		t.Helper()
		before := r.pool.Stats()
		rows, err := r.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: []int32{9}, Logits: 1}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		after := r.pool.Stats()
		return rows[0][0], after.FetchedBytes - before.FetchedBytes, after.StoredBytes - before.StoredBytes
	}
	if _, err := r.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: []int32{5, 9, 12, 40, 77}}}, nil); err != nil {
		t.Fatal(err)
	}
	want, _, _ := decode()
	_, fetched, stored := decode() // from here on each step fetches ahead for the next
	if err := seq.Truncate(5); err != nil {
		t.Fatal(err)
	}
	got, _, _ := decode()
	before := r.pool.Stats()
	if err := r.Traverse(t.Context(), kv.Work{Seq: seq, Tokens: []int32{3}}); err != nil {
		t.Fatal(err)
	}
	after := r.pool.Stats()
	if f, s := after.FetchedBytes-before.FetchedBytes, after.StoredBytes-before.StoredBytes; s != stored || f == 0 || after.Steps != before.Steps+1 || seq.Len() != 7 {
		t.Errorf("fetched %d bytes, stored %d, steps %d, tokens %d: want about %d, %d, 1 and 7", f, s, after.Steps-before.Steps, seq.Len(), fetched, stored)
	}
	if err := seq.Truncate(5); err != nil {
		t.Fatal(err)
	}
	again, _, _ := decode()
	for i := range want {
		if got[i] != want[i] || again[i] != want[i] {
			t.Fatalf("logit %d is %g, and %g after copies without computing: want %g", i, got[i], again[i], want[i])
		}
	}
}
