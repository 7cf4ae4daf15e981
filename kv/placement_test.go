package kv

import (
	"math"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
)

// Device bytes are the slots and the resident layers, and nothing else.
func TestDeviceBytesFollowTheFormula(t *testing.T) {
	big, small := Shape{Heads: 2, KeyDim: 64, ValueDim: 32}, Shape{Heads: 1, KeyDim: 32, ValueDim: 32}
	const cells, row, smallRow = 512, 2 * 96 * 2, 64 * 2 // of f16, for 400 tokens
	mixed := []Shape{big, small, small, big}
	window := big // whose ring is 256 cells of the 512
	window.Window = 16
	shared := Shape{Heads: 2, KeyDim: 64, ValueDim: 32, Shares: true, Of: 1}
	tests := []struct {
		name     string
		policy   Policy
		layers   []Shape
		resident int
		slots    int
		want     int64 // a cell
	}{
		{"static", Static, []Shape{big, big, big}, 0, 0, 3 * row},
		{"dynamic", Dynamic, []Shape{big, big, big}, 0, 0, 3 * row},
		{"offloaded", Offloaded, []Shape{big, big, big, big, big}, 0, 0, 2 * row},
		{"three slots", Offloaded, []Shape{big, big, big, big, big}, 0, 3, 3 * row},
		{"some resident", OffloadedStatic, []Shape{big, big, big, big, big}, 2, 0, (2 + 2) * row},
		{"all resident", Offloaded, []Shape{big, big, big}, 3, 0, 3 * row},
		{"one layer needs one slot", Offloaded, []Shape{big}, 0, 2, row},
		{"slots are as large as the largest layer", Offloaded, mixed, 0, 0, 2 * row},
		{"resident layers are as large as they are", Static, mixed, 0, 0, 2*row + 2*smallRow},
		{"of those that stream", Offloaded, mixed, 2, 0, 2*row + row + smallRow}, // layers 1 and 3 stay
		{"windows are rings", Static, []Shape{window, big, window}, 0, 0, row/2 + row + row/2},
		{"slots are those of full layers", Offloaded, []Shape{window, big, big, big, window}, 0, 0, row/2 + 2*row + row/2},
		{"full layers are chosen to stay", OffloadedStatic, []Shape{window, big, big, big, big}, 1, 0, row/2 + row + 2*row},
		{"shared K/V are there once", Offloaded, []Shape{big, big, shared, big}, 0, 0, row + 2*row},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Policy: tt.policy, Layers: tt.layers, TypeK: ggml.F16, TypeV: ggml.F16, Cells: 400, ResidentLayers: tt.resident, Slots: tt.slots, ChunkTokens: 64, ForcedCopies: true, Tier: uniform(tt.policy, 1, 1).Tier}
			b := ownCPU(t, 0)
			p, err := NewPool(o, b)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			s := p.NewSeq()
			if err := through(p, s); err != nil {
				t.Fatal(err)
			}
			want := tt.want * cells
			if got := p.Placement(0).DeviceBytes; got != want {
				t.Errorf("%d bytes planned; want %d", got, want)
			}
			used := b.Usage().Current
			if got := used[ggml.Slots] + used[ggml.Regions]; got != want {
				t.Errorf("%d bytes allocated on the device; want %d", got, want)
			}
			if got := p.Stats().DeviceBytesPeak; tt.policy.fixed() && got != want {
				t.Errorf("peak of %d bytes; want %d", got, want)
			}
		})
	}
}

// through takes a token of a sequence through a step that computes nothing.
func through(p *Pool, s *Seq) error { return tokens(p, s, 1) }

func TestOptionsThatMakeNoCacheAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(o *Options)
		want   string
	}{
		{"policy", func(o *Options) { o.Policy = 9 }, "unknown cache policy 9"},
		{"no layers", func(o *Options) { o.Layers = nil }, "at least one layer"},
		{"no cells", func(o *Options) { o.Cells = 0 }, "context of 0 tokens"},
		{"too many cells", func(o *Options) { o.Cells = math.MaxInt32 }, "want 1 to"},
		{"resident below 0", func(o *Options) { o.ResidentLayers = -1 }, "-1 resident layers"},
		{"resident above all", func(o *Options) { o.ResidentLayers = 4 }, "the model has 3"},
		{"resident under static", func(o *Options) { o.Policy, o.ResidentLayers = Static, 1 }, "static keeps all of them"},
		{"memory", func(o *Options) { o.Memory = []int64{-1} }, "negative"},
		{"slots", func(o *Options) { o.Slots = -1 }, "negative"},
		{"trees", func(o *Options) { o.Trees = -1 }, "negative"},
		{"chunk", func(o *Options) { o.ChunkTokens = -1 }, "negative"},
		{"step", func(o *Options) { o.StepTokens = -1 }, "negative"},
		{"link", func(o *Options) { o.Link = -1 }, "want a positive rate"},
		{"link NaN", func(o *Options) { o.Link = math.NaN() }, "want a positive rate"},
		{"link Inf", func(o *Options) { o.Link = math.Inf(1) }, "want a positive rate"},
		{"K type", func(o *Options) { o.TypeK = ggml.Q4_K }, "key type q4_k: want one of f32, f16, bf16, q8_0, q4_0"},
		{"V type", func(o *Options) { o.TypeV = ggml.I32 }, "value type i32"},
		{"K block", func(o *Options) { o.TypeK, o.Layers = ggml.Q8_0, []Shape{{Heads: 1, KeyDim: 33, ValueDim: 32}} }, "layer 0: key dim 33 is not a multiple of 32"},
		{"V block", func(o *Options) { o.TypeV, o.Layers = ggml.Q4_0, []Shape{{Heads: 1, KeyDim: 32, ValueDim: 16}} }, "value dim 16 is not a multiple of 32"},
		{"heads", func(o *Options) {
			o.Layers = []Shape{{Heads: 1, KeyDim: 1, ValueDim: 1}, {Heads: 0, KeyDim: 1, ValueDim: 1}}
		}, "layer 1: 0 KV heads"},
		{"no tier", func(o *Options) { o.Tier, o.ForcedCopies = nil, true }, "needs a tier"},
		{"memory too small", func(o *Options) { o.Memory = []int64{100} }, "the least that works is 4.0 KiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := uniform(Offloaded, 3, 100)
			tt.change(&o)
			p, err := NewPool(o, ownCPU(t, 0))
			if err == nil {
				p.Close()
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(), "kv: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want it to say %q", err, tt.want)
			}
		})
	}
}

func TestNamesOfPoliciesAndTypesParse(t *testing.T) {
	for _, name := range PolicyNames() {
		if p, err := ParsePolicy(name); err != nil || p.String() != name {
			t.Errorf("policy %q: %v, %v", name, p, err)
		}
	}
	for _, name := range []string{"f32", "f16", "bf16", "q8_0", "q4_0"} {
		if typ, err := ParseType(name); err != nil || typ.String() != name {
			t.Errorf("type %q: %v, %v", name, typ, err)
		}
	}
	if _, err := ParsePolicy("sliding"); err == nil || !strings.Contains(err.Error(), "auto, dynamic, static, offloaded, offloaded_static") {
		t.Errorf("unknown policy: %v; want the names listed", err)
	}
	if _, err := ParseType("q4_k"); err == nil || !strings.Contains(err.Error(), "f32, f16, bf16, q8_0, q4_0") {
		t.Errorf("unknown type: %v; want the names listed", err)
	}
	if got := Policy(7).String(); got != "policy(7)" {
		t.Errorf("policy 7 is called %q", got)
	}
}

// Memory is shared out to as many trees as were announced, and not exceeded.
func TestMoreTreesThanMemoryWasSharedOutToAreRefused(t *testing.T) {
	o := uniform(Dynamic, 2, 256)
	o.Trees, o.Memory = 2, []int64{2 * 2 * 256 * rowBytes}
	p, err := NewPool(o, ownCPU(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	a, b, c := p.NewSeq(), p.NewSeq(), p.NewSeq()
	for _, s := range []*Seq{a, b} {
		if err := through(p, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := through(p, c); err == nil || !strings.Contains(err.Error(), "3 sequences need") {
		t.Fatalf("a third tree: %v; want an error that says what it needs", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := through(p, c); err != nil {
		t.Errorf("after closing one: %v", err)
	}
}

func TestAllocationThatFailsLeavesNothingBehind(t *testing.T) {
	const layer = 256 * rowBytes
	for _, policy := range []Policy{Static, Offloaded} {
		o := uniform(policy, 5, 256)
		o.ForcedCopies = true
		b := ownCPU(t, 6*layer) // enough for one tree of static, or the slots
		p, err := NewPool(o, b)
		if err != nil {
			t.Fatal(err)
		}
		first, second := p.NewSeq(), p.NewSeq()
		if err := through(p, first); err != nil {
			t.Fatal(err)
		}
		before := b.Usage().Total()
		err = through(p, second)
		if policy == Static && err == nil {
			t.Error("static: a second tree fits; want no memory")
		}
		if policy == Static && (b.Usage().Total() != before || p.Stats().DeviceBytes != 5*layer) {
			t.Errorf("static: %d bytes, %d counted; want %d as before", b.Usage().Total(), p.Stats().DeviceBytes, before)
		}
		if err := through(p, first); err != nil {
			t.Errorf("%v: the first sequence after the failure: %v", policy, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	o := uniform(Offloaded, 5, 256)
	o.ForcedCopies = true
	if _, err := NewPool(o, ownCPU(t, layer)); err == nil {
		t.Error("a second slot past the limit: no error")
	}
}

// Layers that share K/V with a layer of another device are an error that says how many go together.
func TestSharedLayersAreOnOneDevice(t *testing.T) {
	own := Shape{Heads: 1, KeyDim: 32, ValueDim: 32}
	shared := func(of int) Shape { s := own; s.Shares, s.Of = true, of; return s }
	o := Options{Layers: []Shape{own, own, own, shared(2), shared(1)}, On: []int{0, 0, 0, 0, 1}}
	err := o.validateShared(4, o.Layers[4])
	if err == nil || !strings.Contains(err.Error(), "let one device compute the last 4 layers") {
		t.Errorf("got the error %v", err)
	}
	o.On = []int{0, 1, 1, 1, 1}
	if err := o.validateShared(4, o.Layers[4]); err != nil {
		t.Error(err)
	}
}
