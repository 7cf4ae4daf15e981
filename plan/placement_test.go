package plan

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

const rowBytes = 8

// uniform returns a cache of layers that are alike, on one device.
func uniform(streams bool, layers, cells int) Cache {
	return Cache{Layers: slices.Repeat([]Layer{{RowBytes: rowBytes}}, layers), Cells: cells, Streams: streams}
}

// placeOne places a cache that is on one device.
func placeOne(c Cache) (Placement, error) {
	p, err := c.Place()
	if err != nil {
		return Placement{}, err
	}
	return p[0], nil
}

func TestStreamingTakesLessWhereMoreLayersStreamThanSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := uniform(true, rapid.IntRange(1, 40).Draw(t, "layers"), rapid.IntRange(1, 5000).Draw(t, "cells"))
		c.Slots = rapid.IntRange(1, 5).Draw(t, "slots")
		c.Resident = rapid.IntRange(0, len(c.Layers)).Draw(t, "resident")
		streaming, err := placeOne(c)
		if err != nil {
			t.Fatal(err)
		}
		c.Streams, c.Resident = false, 0
		resident, err := placeOne(c)
		if err != nil {
			t.Fatal(err)
		}
		less, more := streaming.DeviceBytes < resident.DeviceBytes, streaming.Streamed > c.Slots
		if less != more || streaming.DeviceBytes > resident.DeviceBytes {
			t.Fatalf("streaming takes %d bytes, resident layers %d, with %d layers streamed", streaming.DeviceBytes, resident.DeviceBytes, streaming.Streamed)
		}
	})
}

// drawCache draws a cache on one device, without a bound of memory.
func drawCache(t *rapid.T) Cache {
	c := uniform(rapid.Bool().Draw(t, "streams"), rapid.IntRange(1, 12).Draw(t, "layers"), rapid.IntRange(1, 2000).Draw(t, "cells"))
	kinds := rapid.Bool().Draw(t, "kinds")
	for l := range c.Layers {
		c.Layers[l].RowBytes = rowBytes * rapid.Int64Range(1, 4).Draw(t, "heads")
		if !kinds {
			continue
		}
		c.Layers[l].Window = rapid.SampledFrom([]int{0, 0, 1, 16, 700}).Draw(t, "window")
		if l > 0 && rapid.IntRange(0, 4).Draw(t, "shares") == 0 {
			if of := rapid.IntRange(0, l-1).Draw(t, "of"); !c.Layers[of].Shares {
				c.Layers[l] = Layer{Window: c.Layers[of].Window, Shares: true, Of: of}
			}
		}
	}
	c.ChunkTokens = rapid.SampledFrom([]int{0, 1, 64}).Draw(t, "chunk")
	c.Trees = rapid.IntRange(1, 3).Draw(t, "trees")
	c.Slots = rapid.IntRange(1, 4).Draw(t, "slots")
	if c.Streams && rapid.Bool().Draw(t, "chosen") {
		c.Resident = rapid.IntRange(0, len(c.Layers)).Draw(t, "resident")
	}
	return c
}

// The least that works does work, and a byte less does not.
func TestMemoryTooSmallNamesTheLeastThatWorks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCache(t)
		c.Memory = []int64{1}
		_, err := c.Place()
		short, ok := errors.AsType[*ShortError](err)
		if !ok {
			t.Fatalf("with one byte: error %v", err)
		}
		least := short.Least.DeviceBytes
		if !strings.Contains(err.Error(), "the least that works is "+bytesize.Ceil(least)) {
			t.Fatalf("%v: does not name the least, %d", err, least)
		}
		if got := c.Least(); len(got) != 1 || got[0] != least {
			t.Fatalf("least %v, and the error says %d", got, least)
		}
		c.Memory[0] = least
		p, err := placeOne(c)
		if err != nil || p.DeviceBytes != least {
			t.Fatalf("with %d bytes: %d are taken, error %v", least, p.DeviceBytes, err)
		}
		c.Memory[0] = least - 1
		if _, err := c.Place(); err == nil {
			t.Fatalf("with %d bytes, one less than the least that works: no error", least-1)
		}
	})
}

func TestLeastIsTheLeastMemoryThatWorks(t *testing.T) {
	const small, large = 2 * 32, 4 * 2 * 64
	layers := func(rows ...int64) (all []Layer) {
		for _, n := range rows {
			all = append(all, Layer{RowBytes: n})
		}
		return all
	}
	two := layers(large, small, large, small)
	for l := range two {
		two[l].Device = 1 - l%2
	}
	for _, c := range []Cache{
		{Layers: layers(small, large, small)},
		{Layers: layers(small, large), Trees: 3},
		{Streams: true, Layers: layers(large, large, large, large)},
		{Streams: true, Layers: layers(small, large, small)}, // where a resident large layer makes the slots small
		{Streams: true, Layers: layers(large, large, large), Resident: 1},
		{Streams: true, Layers: layers(large, small, large), Slots: 3, Trees: 2},
		{Streams: true, Layers: two},
	} {
		c.Cells = 700
		least := c.Least()
		for device := range least {
			c.Memory = slices.Clone(least)
			if p, err := c.Place(); err != nil || p[device].DeviceBytes > least[device] {
				t.Errorf("%+v on device %d: placed as %+v, error %v", c, device, p, err)
			}
			c.Memory[device]--
			if p, err := c.Place(); err == nil {
				t.Errorf("%+v on device %d: a byte less is placed as %+v, want an error", c, device, p)
			}
		}
	}
}

func TestMemoryIsUsedForAsManyResidentLayersAsFit(t *testing.T) {
	c := uniform(true, 10, 256)
	const layer = 256 * rowBytes
	for _, tt := range []struct {
		memory   int64
		resident int
	}{{2 * layer, 0}, {3*layer - 1, 0}, {3 * layer, 1}, {9 * layer, 7}, {10*layer - 1, 7}, {10 * layer, 10}, {100 * layer, 10}} {
		c.Memory = []int64{tt.memory}
		p, err := placeOne(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(c.Layers) - p.Streamed; got != tt.resident || p.DeviceBytes > tt.memory {
			t.Errorf("%d bytes: %d layers resident in %d bytes; want %d", tt.memory, got, p.DeviceBytes, tt.resident)
		}
	}
}

// Layers that stay are chosen over the model, and each device gets its own.
func TestResidentLayersAreSharedOutToDevices(t *testing.T) {
	c := uniform(true, 8, 256)
	for l := range c.Layers {
		c.Layers[l].Device = l / 4
	}
	c.Resident, c.Memory = 4, []int64{1 << 20, 0}
	got, err := c.Place()
	if err != nil {
		t.Fatal(err)
	}
	const layer = 256 * rowBytes
	want := Placement{
		Cells: 256, Layers: []int{0, 1, 2, 3}, Rows: []int64{rowBytes, rowBytes, rowBytes, rowBytes}, Rings: make([]int, 4), Fixed: make([]bool, 4),
		Resident: []bool{false, true, false, true}, Streamed: 2,
		Slots: 2, SlotBytes: layer, TreeBytes: 2 * layer, DeviceBytes: 4 * layer,
	}
	other := want
	other.Layers = []int{4, 5, 6, 7}
	if diff := cmp.Diff(got, []Placement{want, other}); diff != "" {
		t.Errorf("placements (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(c.Streamed(), []bool{true, false, true, false, true, false, true, false}); diff != "" {
		t.Errorf("streamed (-got +want):\n%s", diff)
	}
	if got := want.Bytes(3); got != 2*layer+3*2*layer {
		t.Errorf("three trees take %d bytes; want %d", got, 8*layer)
	}
}

func TestMostCellsIsTheLargestContextThatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCache(t)
		all := c
		all.Streams = false
		c.Memory = []int64{rapid.Int64Range(1, 3*all.Least()[0]).Draw(t, "memory")}
		most := c.MostCells()
		if most%Block != 0 || most > WholeBlocks(c.Cells) {
			t.Fatalf("%d cells; want whole blocks, and not more than %d", most, WholeBlocks(c.Cells))
		}
		fits := func(cells int) bool {
			c := c
			c.Cells = cells
			_, err := c.Place()
			return err == nil
		}
		if most > 0 && !fits(most) {
			t.Fatalf("%d cells do not fit %d bytes", most, c.Memory)
		}
		if most < WholeBlocks(c.Cells) && fits(most+Block) {
			t.Fatalf("%d cells fit %d bytes too, not only %d", most+Block, c.Memory, most)
		}
	})
}

func TestMostCellsWithoutABoundIsTheContext(t *testing.T) {
	if got := uniform(true, 3, 1000).MostCells(); got != 1024 {
		t.Errorf("%d cells; want 1024", got)
	}
}

func TestResidentLayersAreSpreadEvenly(t *testing.T) {
	for layers := 1; layers <= 40; layers++ {
		for n := range layers + 1 {
			chosen := Spread(n, layers)
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

// A context that would fit is part of the advice.
func TestMemoryTooSmallNamesAContextThatFits(t *testing.T) {
	c := uniform(false, 4, 2000)
	c.Memory = []int64{4 * 700 * rowBytes}
	_, err := c.Place()
	if _, ok := errors.AsType[*ShortError](err); !ok || !strings.HasSuffix(err.Error(), "or a context of at most 512") {
		t.Errorf("%v; want it to name a context of 512", err)
	}
}

// Numbers that a user may type are never taken for little.
func TestHugeNumbersDoNotFit(t *testing.T) {
	for _, change := range []func(c *Cache){
		func(c *Cache) { c.Cells = math.MaxInt },
		func(c *Cache) { c.Cells = math.MaxInt - 300 },
		func(c *Cache) { c.Trees = math.MaxInt },
		func(c *Cache) { c.Layers[1].RowBytes = math.MaxInt64 },
	} {
		c := uniform(false, 3, 256)
		c.Memory = []int64{1 << 40}
		change(&c)
		if p, err := c.Place(); err == nil {
			t.Errorf("%+v is placed as %+v; want an error", c, p)
		}
	}
	c := uniform(true, 3, 256)
	c.Resident, c.Slots, c.Memory = math.MaxInt, math.MaxInt, []int64{1}
	if p, err := c.Place(); err == nil {
		t.Errorf("%+v is placed as %+v; want an error", c, p)
	}
}
