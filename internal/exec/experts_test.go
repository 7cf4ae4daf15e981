package exec

import (
	"errors"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/trace"
)

// withExperts runs a model on a CPU that plays a device, and the experts of its last layers apart.
func withExperts(layers int, o Options) setting {
	o.Cache.ForcedCopies = true
	return setting{devices: cpu, Options: o, experts: layers}
}

func TestTheExpertsOfTheLastLayersAreComputedApart(t *testing.T) {
	for _, n := range []int{1, 2, 99} {
		var layers []int
		o := withExperts(n, Options{Cache: kv.Options{Cells: 256}, Trace: func(s trace.Span) {
			if s.Name == "experts" {
				layers = append(layers, s.Layer)
			}
		}})
		r := o.mustOpen(t)
		s := r.pool.NewSeq()
		work(t, r, s, 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var want []int
		for l := max(0, len(r.config.Layers)-n); l < len(r.config.Layers); l++ {
			want = append(want, l)
		}
		if !slices.Equal(layers, want) {
			t.Errorf("%d layers: the experts of %v were computed apart, want %v", n, layers, want)
		}
	}
}

func TestExpertsGiveTheMemoryOfAPromptBackAndDecodingTakesNone(t *testing.T) {
	r := withExperts(99, Options{Cache: kv.Options{Cells: 2304, ChunkTokens: 2048}}).mustOpen(t)
	s := r.pool.NewSeq()
	defer func() { _ = s.Close() }()
	work(t, r, s, 1)
	decoding := r.devices.experts.bytes()
	work(t, r, s, 2000)
	if prompt := r.devices.experts.bytes(); prompt < leastReturned || prompt < 8*decoding {
		t.Fatalf("a prompt takes %d bytes, and decoding %d: too few for this test", prompt, decoding)
	}
	for range smallSteps + 1 {
		work(t, r, s, 1)
	}
	if got := r.devices.experts.bytes(); got != decoding {
		t.Errorf("%d bytes are left after decoding a few tokens, want %d", got, decoding)
	}
	counts := r.devices.all[0].backend.Stats()
	for range 20 {
		work(t, r, s, 1)
	}
	if got := r.devices.all[0].backend.Stats(); got.Buffers != counts.Buffers || got.Graphs != counts.Graphs {
		t.Errorf("20 steps like the one before made %d buffers and %d graphs, want none", got.Buffers-counts.Buffers, got.Graphs-counts.Graphs)
	}
}

// A prompt for whose experts there is no memory is an error, and the sequence is as it was.
func TestAStepWithoutMemoryForExpertsChangesNothing(t *testing.T) {
	o := withExperts(99, Options{Cache: kv.Options{Cells: 2048, Policy: kv.Static}})
	r := o.mustOpen(t)
	s := r.pool.NewSeq()
	work(t, r, s, 1000)
	all := r.devices.all[0].backend.Usage()
	o.Limit = all.Total() - all.Mapped - r.devices.experts.bytes()/2
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r = o.mustOpen(t)
	s = r.pool.NewSeq()
	defer func() { _ = s.Close() }()
	work(t, r, s, 1)
	_, err := r.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: make([]int32, 999), Logits: 1}}, nil)
	if !errors.Is(err, ggml.ErrNoMemory) || s.Len() != 1 {
		t.Fatalf("a prompt within %d bytes: %v, and the sequence has %d tokens; want %v and the one of before", o.Limit, err, s.Len(), ggml.ErrNoMemory)
	}
	work(t, r, s, 1)
}
