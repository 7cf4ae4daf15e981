package kv

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// Three layers of the rigs' shape in f32.
const (
	shareLayers = 3
	common      = 1000                                      // tokens that conversations begin with
	shareRow    = shareLayers * rigKVHeads * 2 * rigDim * 4 // bytes of a cell in all layers
)

// stacked returns options whose trees share rows in host memory up to a number of bytes, and beyond in
// files.
func stacked(t *testing.T, hostBytes int64) (Options, *disk.Store) {
	t.Helper()
	files, err := disk.Open(disk.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	o := rigOptions(Offloaded, shareLayers, ggml.F32)
	o.Cells, o.ForcedCopies, o.SlotAlign = 2200, true, 4096
	o.Tier = stack.New(host.NewExact, files.New, hostBytes).New
	return o, files
}

// alike makes sequences of their own trees that begin with the same tokens and go on with others.
func alike(r *rig, sequences, more int) (all []*Seq) {
	for i := range sequences {
		s := r.pool.NewSeq()
		r.last = 0
		r.grow(growth{s, common})
		r.last = int32(100_000 * (i + 1))
		r.grow(growth{s, more})
		all = append(all, s)
	}
	return all
}

// Ten conversations with 1,000 tokens in common hold three blocks of these once, wherever they are.
func TestWhatConversationsHaveInCommonIsHeldOnce(t *testing.T) {
	const (
		sequences = 10
		shared    = common / Block * Block
		block     = Block * shareRow / shareLayers // bytes of a layer
		run       = 1 << 20 / block * block        // room in a file: whole blocks, at least 1 MiB
	)
	hostCells := int64(sequences*2048 - (sequences-1)*shared) // rows take memory in steps that double
	inFiles := int64(sequences*shareLayers*run - (sequences-1)*shareLayers*shared/Block*block)
	o := rigOptions(Static, shareLayers, ggml.F32)
	o.Cells = 2200
	want, _ := played(t, onCPU(t), o, func(r *rig) { alike(r, sequences, 30) })
	for _, tt := range []struct {
		name       string
		hostMemory int64
		host, disk int64 // bytes; 0: any
	}{
		{"host memory", -1, hostCells * shareRow, 0},
		{"disk", 0, 0, inFiles},
		{"some host memory", 512 * shareRow, 0, inFiles},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, files := stacked(t, tt.hostMemory)
			r := newRig(t, onCPU(t), o)
			all := alike(r, sequences, 30)
			r.pool.drain()
			if i := differ(r.steps, want); i >= 0 {
				t.Errorf("step %d differs from static", i)
			}
			got := r.pool.Stats()
			if tt.host != 0 && got.HostBytes != tt.host {
				t.Errorf("%d bytes in host memory; want %d", got.HostBytes, tt.host)
			}
			if got.DiskBytes != tt.disk || files.Bytes() != tt.disk {
				t.Errorf("%d bytes in files, %d booked; want %d", got.DiskBytes, files.Bytes(), tt.disk)
			}
			for i, s := range all { // the first one, which computed the rows, closes first
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				for _, left := range all[i+1:] {
					if len(all)-i < 3 {
						r.grow(growth{left, 1})
					}
				}
			}
			if got := r.pool.Stats(); got.HostBytes != 0 || got.DiskBytes != 0 {
				t.Errorf("%d bytes in host memory, %d in files when all are closed; want 0", got.HostBytes, got.DiskBytes)
			}
			r.close()
		})
	}
}

// related takes conversations with much in common through all that sequences do.
func related(r *rig) {
	all := alike(r, 4, 20)
	beams := []*Seq{all[1], forkOf(r.t, all[1]), forkOf(r.t, all[1])}
	for range 3 {
		r.grow(growth{beams[0], 2}, growth{beams[1], 1}, growth{beams[2], 1}, growth{all[0], 1})
	}
	if err := all[0].Truncate(300); err != nil { // into what all share; it computed that
		r.t.Fatal(err)
	}
	if err := all[2].Truncate(600); err != nil { // and so does one that did not
		r.t.Fatal(err)
	}
	r.grow(growth{all[0], 400}, growth{all[2], 100}, growth{all[3], 1})
	if err := beams[1].Truncate(500); err != nil { // its rows are those of the other beams, too
		r.t.Fatal(err)
	}
	r.grow(growth{beams[1], 300}, growth{beams[0], 1})
	if err := all[0].Close(); err != nil {
		r.t.Fatal(err)
	}
	r.grow(growth{all[2], 200}, growth{all[3], 1}, growth{beams[2], 1})
	for _, s := range beams[:2] {
		if err := s.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
	r.grow(growth{beams[2], 100}, growth{all[3], 300})
	more := alike(r, 1, 5)
	r.grow(growth{more[0], 1}, growth{beams[2], 1}, growth{all[2], 1}, growth{all[3], 1})
}

func TestSharedRowsGiveTheBitsOfStatic(t *testing.T) {
	o := rigOptions(Static, shareLayers, ggml.F32)
	o.Cells = 2200
	want, _ := played(t, onCPU(t), o, related)
	finite(t, want)
	for _, tt := range []struct {
		name       string
		hostMemory int64
	}{{"host memory", -1}, {"disk", 0}, {"some host memory", 1024 * shareRow}, {"little host memory", 256 * shareRow}} {
		t.Run(tt.name, func(t *testing.T) {
			o, files := stacked(t, tt.hostMemory)
			got, _ := played(t, onCPU(t), o, related)
			if i := differ(got, want); i >= 0 || len(got) != len(want) {
				t.Errorf("step %d of %d differs from static's", i, len(want))
			}
			if n := files.Bytes(); n != 0 {
				t.Errorf("%d bytes in files after the pool was closed", n)
			}
		})
	}
}

// A sequence that was truncated into shared rows needs memory of its own before a step begins.
func TestWithoutMemoryForACopyOfSharedRowsNoStepBegins(t *testing.T) {
	o := rigOptions(Offloaded, shareLayers, ggml.F32)
	o.Cells, o.ForcedCopies, o.Tier = 2200, true, stack.New(host.NewExact, nil, -1).New
	r := newRig(t, onCPU(t), o)
	defer r.close()
	all := alike(r, 2, 5)
	before := r.pool.Stats()
	if err := all[1].Truncate(300); err != nil {
		t.Fatal(err)
	}
	r.pool.hooks.alloc = func() error { return ggml.ErrNoMemory }
	_, err := r.pool.Begin(t.Context(), []Work{{Seq: all[1], Tokens: []int32{1}}})
	r.pool.hooks.alloc = nil
	if !errors.Is(err, ErrNoMemory) {
		t.Fatalf("%v; want %v", err, ErrNoMemory)
	}
	if got := r.pool.Stats(); got.HostBytes != before.HostBytes || all[1].Len() != 300 {
		t.Errorf("%d bytes and %d tokens after the error; want %d and 300", got.HostBytes, all[1].Len(), before.HostBytes)
	}
	r.grow(growth{all[1], 10}, growth{all[0], 1})
	if got, want := r.pool.Stats().HostBytes, before.HostBytes+512*shareRow; got != want {
		t.Errorf("%d bytes when two blocks are not shared any more; want %d", got, want)
	}
}

// Where all memory is taken at once, it is neither given back nor needed a second time.
func TestRowsAreNotSharedWhereMemoryIsTakenAtOnce(t *testing.T) {
	o := rigOptions(OffloadedStatic, shareLayers, ggml.F32)
	o.Cells, o.ForcedCopies, o.Tier = 2200, true, stack.New(host.NewExact, nil, -1).New
	r := newRig(t, onCPU(t), o)
	defer r.close()
	alike(r, 2, 5)
	if got, want := r.pool.Stats().HostBytes, int64(2*2304*shareRow); got != want {
		t.Errorf("%d bytes; want %d", got, want)
	}
}

// Layers that leave the device in the middle bring their rows to tiers that share them.
func TestSharedRowsOfLayersThatLeftGiveTheBitsOfStatic(t *testing.T) {
	o := rigOptions(Static, shareLayers, ggml.F32)
	o.Cells = 2200
	want, _ := played(t, onCPU(t), o, related)
	for _, tt := range []struct {
		name       string
		hostMemory int64
	}{{"host memory", -1}, {"some host memory", 512 * shareRow}} {
		t.Run(tt.name, func(t *testing.T) {
			demotions := 0
			for seed := range uint64(3) {
				o, files := stacked(t, tt.hostMemory)
				o.Policy, o.Trees = Auto, 4
				random := rand.New(rand.NewPCG(seed, 11))
				got, stats := played(t, onCPU(t), o, related, small, func(r *rig) {
					r.between = func() {
						if random.IntN(3) == 0 {
							squeeze(t, r.pool, 30+random.IntN(60))
						}
					}
				})
				if i := differ(got, want); i >= 0 {
					t.Errorf("seed %d: step %d differs from static", seed, i)
				}
				if n := files.Bytes(); n != 0 {
					t.Errorf("%d bytes in files after the pool was closed", n)
				}
				demotions += stats.Demotions
			}
			if demotions == 0 {
				t.Error("no layer has left: the test shows nothing")
			}
		})
	}
}

// Two sequences that are restored from the same rows hold them once.
func TestRestoredSequencesShareTheirRows(t *testing.T) {
	o, _ := stacked(t, -1)
	r := newRig(t, onCPU(t), o)
	defer r.close()
	s := r.pool.NewSeq()
	r.grow(growth{s, common})
	kept := save(t, r.pool, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	a, b := restored(t, r.pool, kept), restored(t, r.pool, kept)
	for _, s := range []*Seq{a, b} {
		r.grow(growth{s, 1}) // all rows have come
		if rest := s.tree.restoring.Load(); rest != nil {
			<-rest.ended
		}
		r.grow(growth{s, 1})
	}
	if got, want := r.pool.Stats().HostBytes, int64(2*1024-768)*shareRow; got != want {
		t.Errorf("%d bytes of two restored sequences; want %d", got, want)
	}
	for _, s := range []*Seq{a, b} {
		if err := s.Truncate(common); err != nil {
			t.Fatal(err)
		}
		save(t, r.pool, s).equal(t, kept)
	}
}
