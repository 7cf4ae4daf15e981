package kv

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
)

// Device bytes are the slots and the resident layers, and nothing else.
func TestDeviceBytesFollowTheFormula(t *testing.T) {
	big, small := Shape{Heads: 2, KeyDim: 64, ValueDim: 32}, Shape{Heads: 1, KeyDim: 32, ValueDim: 32}
	const cells, row, smallRow = 512, 2 * 96 * 2, 64 * 2 // of f16, for 400 tokens
	mixed := []Shape{big, small, small, big}
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
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Policy: tt.policy, Layers: tt.layers, TypeK: ggml.F16, TypeV: ggml.F16, Cells: 400, ResidentLayers: tt.resident, Slots: tt.slots, ForcedCopies: true, Tier: uniform(tt.policy, 1, 1).Tier}
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

func TestOffloadedTakesLessThanStaticWhereMoreLayersStreamThanSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := uniform(Offloaded, rapid.IntRange(1, 40).Draw(t, "layers"), rapid.IntRange(1, 5000).Draw(t, "cells"))
		o.Slots = rapid.IntRange(1, 5).Draw(t, "slots")
		o.ResidentLayers = rapid.IntRange(0, len(o.Layers)).Draw(t, "resident")
		offloaded, err := Place(o)
		if err != nil {
			t.Fatal(err)
		}
		o.Policy, o.ResidentLayers = Static, 0
		static, err := Place(o)
		if err != nil {
			t.Fatal(err)
		}
		less, more := offloaded.DeviceBytes < static.DeviceBytes, offloaded.Streamed > o.Slots
		if less != more || offloaded.DeviceBytes > static.DeviceBytes {
			t.Fatalf("offloaded takes %d bytes, static %d, with %d layers streamed", offloaded.DeviceBytes, static.DeviceBytes, offloaded.Streamed)
		}
	})
}

// drawPlacement draws options that only Memory is missing from.
func drawPlacement(t *rapid.T) Options {
	o := uniform(rapid.SampledFrom([]Policy{Dynamic, Static, Offloaded, OffloadedStatic}).Draw(t, "policy"),
		rapid.IntRange(1, 12).Draw(t, "layers"), rapid.IntRange(1, 2000).Draw(t, "cells"))
	for l := range o.Layers {
		o.Layers[l].Heads = rapid.IntRange(1, 4).Draw(t, "heads")
	}
	o.Trees = rapid.IntRange(1, 3).Draw(t, "trees")
	o.Slots = rapid.IntRange(1, 4).Draw(t, "slots")
	if o.Policy.streams() && rapid.Bool().Draw(t, "chosen") {
		o.ResidentLayers = rapid.IntRange(0, len(o.Layers)).Draw(t, "resident")
	}
	return o
}

// An error names the least memory that works; that works, and a byte less does
// not.
func TestMemoryTooSmallNamesTheLeastThatWorks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawPlacement(t)
		o.Memory = 1
		_, err := Place(o)
		if err == nil {
			t.Fatal("one byte is enough")
		}
		var least int64
		at := strings.Index(err.Error(), "the least that works is ")
		if _, scan := fmt.Sscanf(err.Error()[max(at, 0):], "the least that works is %d bytes", &least); scan != nil {
			t.Fatalf("%v: names no least", err)
		}
		o.Memory = least
		p, err := Place(o)
		if err != nil || p.DeviceBytes != least {
			t.Fatalf("with %d bytes: %d are taken, error %v", least, p.DeviceBytes, err)
		}
		o.Memory = least - 1
		if _, err := Place(o); err == nil {
			t.Fatalf("with %d bytes, one less than the least that works: no error", least-1)
		}
	})
}

func TestMemoryIsUsedForAsManyResidentLayersAsFit(t *testing.T) {
	o := uniform(Offloaded, 10, 256)
	const layer = 256 * rowBytes
	for _, tt := range []struct {
		memory   int64
		resident int
	}{{2 * layer, 0}, {3*layer - 1, 0}, {3 * layer, 1}, {9 * layer, 7}, {10*layer - 1, 7}, {10 * layer, 10}, {100 * layer, 10}} {
		o.Memory = tt.memory
		p, err := Place(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(o.Layers) - p.Streamed; got != tt.resident || p.DeviceBytes > tt.memory {
			t.Errorf("%d bytes: %d layers resident in %d bytes; want %d", tt.memory, got, p.DeviceBytes, tt.resident)
		}
	}
}

func TestMostCellsIsTheLargestContextThatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := drawPlacement(t)
		o.Memory = rapid.Int64Range(1, 3*o.place(len(o.Layers)).DeviceBytes).Draw(t, "memory")
		most := MostCells(o)
		if most%Block != 0 || most > pad(o.Cells) {
			t.Fatalf("%d cells; want whole blocks, and not more than %d", most, pad(o.Cells))
		}
		fits := func(cells int) bool {
			o := o
			o.Cells = cells
			_, err := Place(o)
			return err == nil
		}
		if most > 0 && !fits(most) {
			t.Fatalf("%d cells do not fit %d bytes", most, o.Memory)
		}
		if most < pad(o.Cells) && fits(most+Block) {
			t.Fatalf("%d cells fit %d bytes too, not only %d", most+Block, o.Memory, most)
		}
	})
}

func TestMostCellsWithoutAMemoryLimitIsTheContext(t *testing.T) {
	if got := MostCells(uniform(Offloaded, 3, 1000)); got != 1024 {
		t.Errorf("%d cells; want 1024", got)
	}
}

func TestResidentLayersAreSpreadEvenly(t *testing.T) {
	for layers := 1; layers <= 40; layers++ {
		for n := range layers + 1 {
			chosen := spread(n, layers)
			count := 0
			for l, c := range chosen {
				if c {
					count++
				}
				// among the first l+1 layers are n/layers of them, as near as whole numbers are
				if ideal := float64((l+1)*n) / float64(layers); math.Abs(float64(count)-ideal) >= 1 {
					t.Fatalf("%d of %d layers: %d among the first %d: %v", n, layers, count, l+1, chosen)
				}
			}
			if count != n {
				t.Fatalf("%d of %d layers: %d chosen", n, layers, count)
			}
		}
	}
}

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
		{"memory", func(o *Options) { o.Memory = -1 }, "negative"},
		{"slots", func(o *Options) { o.Slots = -1 }, "negative"},
		{"trees", func(o *Options) { o.Trees = -1 }, "negative"},
		{"chunk", func(o *Options) { o.ChunkTokens = -1 }, "negative"},
		{"step", func(o *Options) { o.StepTokens = -1 }, "negative"},
		{"link", func(o *Options) { o.Link = -1 }, "want a positive rate"},
		{"link NaN", func(o *Options) { o.Link = math.NaN() }, "want a positive rate"},
		{"link Inf", func(o *Options) { o.Link = math.Inf(1) }, "want a positive rate"},
		{"K type", func(o *Options) { o.TypeK = ggml.Q4_K }, "key type q4_k: want one of f32, f16, bf16, q8_0, q4_0"},
		{"V type", func(o *Options) { o.TypeV = ggml.I32 }, "value type i32"},
		{"K block", func(o *Options) { o.TypeK, o.Layers = ggml.Q8_0, []Shape{{1, 33, 32}} }, "layer 0: key dim 33 is not a multiple of 32"},
		{"V block", func(o *Options) { o.TypeV, o.Layers = ggml.Q4_0, []Shape{{1, 32, 16}} }, "value dim 16 is not a multiple of 32"},
		{"heads", func(o *Options) { o.Layers = []Shape{{1, 1, 1}, {0, 1, 1}} }, "layer 1: 0 KV heads"},
		{"no tier", func(o *Options) { o.Tier, o.ForcedCopies = nil, true }, "needs a tier"},
		{"memory too small", func(o *Options) { o.Memory = 100 }, "the least that works is 4096 bytes"},
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

// A context that would fit is part of the advice.
func TestMemoryTooSmallNamesAContextThatFits(t *testing.T) {
	o := uniform(Static, 4, 2000)
	o.Memory = 4 * 700 * rowBytes
	if _, err := Place(o); err == nil || !strings.HasSuffix(err.Error(), "or a context of at most 512") {
		t.Errorf("%v; want it to name a context of 512", err)
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
	if _, err := ParsePolicy("sliding"); err == nil || !strings.Contains(err.Error(), "dynamic, static, offloaded, offloaded_static") {
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
	o.Trees, o.Memory = 2, 2*2*256*rowBytes
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
