package kv

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// novel is a long text of one sequence beside a short one: most of its blocks are full, some are
// stored to again, by forks and after it was cut, and what forks share is put in order.
func novel(r *rig) {
	a, b := r.pool.NewSeq(), r.pool.NewSeq()
	r.grow(growth{a, 1100})
	r.grow(growth{a, 1}, growth{b, 3})
	fork := forkOf(r.t, a)
	for range 3 {
		r.grow(growth{a, 2}, growth{fork, 1}, growth{b, 1})
	}
	if err := fork.Truncate(500); err != nil { // into a block that was written long ago
		r.t.Fatal(err)
	}
	r.grow(growth{fork, 300}, growth{a, 1})
	if err := a.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.grow(growth{fork, 1}, growth{b, 1}) // what a held is free, and rows move together
	r.grow(growth{fork, 500})
	r.grow(growth{fork, 1})
}

// excerpt is the same for devices that are slow.
func excerpt(r *rig) {
	a := r.pool.NewSeq()
	r.grow(growth{a, 1000})
	r.grow(growth{a, 1})
	if err := a.Truncate(300); err != nil {
		r.t.Fatal(err)
	}
	r.grow(growth{a, 750})
	r.grow(growth{a, 1})
}

// diskTiers returns makers that keep rows in files: alone, and where host memory ends.
func diskTiers(t *testing.T, o disk.Options, hostMemory int64) (files *disk.Store, makers map[string]tier.Maker) {
	t.Helper()
	o.Dir = t.TempDir()
	files, err := disk.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	refusing := func(layouts []tier.Layout, _ tier.Allocator) tier.Tier {
		return host.NewExact(layouts, func(int64) (tier.Buffer, error) { return nil, errors.New("no memory") })
	}
	if o.Buffered {
		return files, map[string]tier.Maker{"disk": files.New}
	}
	return files, map[string]tier.Maker{
		"disk":                       files.New,
		"some host memory":           stack.New(host.NewExact, files.New, hostMemory).New,
		"no host memory can be had":  stack.New(refusing, files.New, -1).New,
		"all of it fits host memory": stack.New(host.NewExact, files.New, -1).New,
	}
}

func TestRowsInFilesGiveTheBitsOfStatic(t *testing.T) {
	for _, d := range []struct {
		name   string
		open   func(rapid.TB) *ggml.Backend
		script func(*rig)
		types  []ggml.Type
		host   int64  // bytes of host memory: one block or two of all layers
		only   string // the place that is tried, where a step takes long
	}{
		{"cpu", onCPU, novel, []ggml.Type{ggml.F32, ggml.Q8_0}, 400 << 10, ""},
		{"vulkan", onVulkan, excerpt, []ggml.Type{ggml.F16}, 200 << 10, "some host memory"},
	} {
		t.Run(d.name, func(t *testing.T) {
			if testing.Short() {
				if d.name == "vulkan" {
					t.Skip("it takes seconds: make test runs it")
				}
				d.types = d.types[:1]
			}
			b := d.open(t)
			for _, typ := range d.types {
				o := rigOptions(Static, 3, typ)
				o.Cells = 2200
				want, _ := played(t, b, o, d.script)
				finite(t, want)
				for way, open := range map[string]disk.Options{"direct": {}, "buffered": {Buffered: true}} {
					files, makers := diskTiers(t, open, d.host)
					for place, maker := range makers {
						if d.only != "" && place != d.only {
							continue
						}
						t.Run(typ.String()+"/"+way+"/"+place, func(t *testing.T) {
							o, before := o, files.Traffic()
							o.Policy, o.Tier, o.ForcedCopies, o.SlotAlign = Offloaded, maker, true, 4096
							got, stats := played(t, b, o, d.script)
							if i := differ(got, want); i >= 0 {
								t.Errorf("step %d differs from static", i)
							}
							read := files.Traffic().Read - before.Read
							if inMemory := place == "all of it fits host memory"; (read > 0) == inMemory || (stats.DiskBytesPeak > 0) == inMemory {
								t.Errorf("%d bytes were read from files of %d at their peak", read, stats.DiskBytesPeak)
							}
							if left := files.Bytes(); left != 0 {
								t.Errorf("%d bytes in files after the pool was closed", left)
							}
						})
					}
				}
			}
		})
	}
}

// A disk that is full ends a step before it has begun, and the cache goes on.
func TestAFullDiskIsErrFull(t *testing.T) {
	files, err := disk.Open(disk.Options{Dir: t.TempDir(), Bytes: 4 << 20}) // for 2048 cells of three layers
	if err != nil {
		t.Fatal(err)
	}
	o := rigOptions(Offloaded, 3, ggml.F32)
	o.Cells, o.ForcedCopies, o.Tier = 5000, true, files.New
	r := newRig(t, onCPU(t), o)
	defer r.close()
	s := r.pool.NewSeq()
	r.grow(growth{s, 1500})
	_, err = r.pool.Begin(t.Context(), []Work{{Seq: s, Tokens: make([]int32, 1000)}})
	if !errors.Is(err, ErrFull) {
		t.Fatalf("%v; want %v", err, ErrFull)
	}
	if got := s.Len(); got != 1500 {
		t.Errorf("%d tokens after the error; want 1500", got)
	}
	r.grow(growth{s, 500})
}
