package plan

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRingsHaveRoomForTheWindowAndAGraph(t *testing.T) {
	for _, tt := range []struct{ window, chunk, cells, want int }{
		{512, 512, 32768, 1024}, // 1023
		{1024, 512, 32768, 1536},
		{128, 512, 131072, 768}, // 639
		{16, 64, 512, 256},
		{1, 1, 512, 256},
		{512, 512, 1000, 1024}, // as long as the tree
		{512, 512, 300, 512},
		{0, 512, 1000, 1024}, // no window
		{math.MaxInt, 512, 1000, 1024},
		{257, 1, 4096, 512}, // 257 is more than a block
		{256, 1, 4096, 256},
	} {
		if got := RingCells(tt.window, tt.chunk, tt.cells); got != tt.want {
			t.Errorf("a window of %d, graphs of %d tokens, %d cells: a ring of %d; want %d", tt.window, tt.chunk, tt.cells, got, tt.want)
		}
	}
}

// gemma returns a cache with one full layer behind every five that have a window of 512: rows are
// those of Gemma 3 270M in f16.
func gemma(cells int) Cache {
	c := Cache{Layers: slices.Repeat([]Layer{{RowBytes: 1024, Window: 512}}, 18), Cells: cells, Streams: true}
	for l := 5; l < len(c.Layers); l += 6 {
		c.Layers[l].Window = 0
	}
	return c
}

const gemmaRing = 1024 * 1024 // bytes of one ring: 1023 cells, in whole blocks

// Layers with windows stay under every policy, and slots are there for the full layers alone.
func TestOnlyFullLayersStream(t *testing.T) {
	for _, cells := range []int{4096, 65536} {
		p, err := placeOne(gemma(cells))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := marks(p.Resident), "RRRRRsRRRRRsRRRRRs"; got != want {
			t.Errorf("%d cells: %s; want %s", cells, got, want)
		}
		layer := 1024 * int64(cells)
		if p.Streamed != 3 || p.Slots != 2 || p.Windowed() != 15 || p.RingBytes() != 15*gemmaRing || p.TreeBytes != 15*gemmaRing || p.SlotBytes != layer || p.DeviceBytes != 2*layer+15*gemmaRing {
			t.Errorf("%d cells: %+v; want 15 rings of %d bytes and 2 slots of %d", cells, p, gemmaRing, layer)
		}
	}
	c := gemma(4096)
	c.Streams = false
	if p, err := placeOne(c); err != nil || p.DeviceBytes != 15*gemmaRing+3*1024*4096 {
		t.Errorf("nothing streams: %+v, %v; want rings all the same", p, err)
	}
	c = gemma(4096)
	c.Resident = 1
	if p, err := placeOne(c); err != nil || marks(p.Resident) != "RRRRRsRRRRRRRRRRRs" {
		t.Errorf("one layer stays: %s, %v; want the full one in the middle", marks(p.Resident), err)
	}
}

// Where a mask allows only 256 tokens a graph, rings are shorter too.
func TestRingsAreShorterForShorterGraphs(t *testing.T) {
	p, err := placeOne(gemma(131072))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.RingBytes(), int64(15*768*1024); got != want {
		t.Errorf("rings of %d bytes; want %d", got, want)
	}
}

func TestALayerWhoseRingIsAsLongAsTheTreeMayStream(t *testing.T) {
	p, err := placeOne(gemma(1024))
	if err != nil {
		t.Fatal(err)
	}
	if p.Windowed() != 0 || p.Streamed != 18 || p.DeviceBytes != 2*1024*1024 {
		t.Errorf("%+v; want 18 layers to stream through 2 slots", p)
	}
}

// Rings come first, then slots, then full layers as memory allows.
func TestMemoryIsSharedOutBetweenRingsAndFullLayers(t *testing.T) {
	const layer = 1024 * 8192
	for _, tt := range []struct {
		memory int64
		want   string // "": an error
	}{
		{15*gemmaRing + 3*layer, "RRRRRRRRRRRRRRRRRR"},
		{15*gemmaRing + 3*layer - 1, "RRRRRsRRRRRsRRRRRs"}, // one layer and two slots take as much as three layers
		{15*gemmaRing + 2*layer, "RRRRRsRRRRRsRRRRRs"},
		{15*gemmaRing + 2*layer - 1, ""},
	} {
		c := gemma(8192)
		c.Memory = []int64{tt.memory}
		p, err := placeOne(c)
		short, ok := errors.AsType[*ShortError](err)
		switch {
		case tt.want == "" && (!ok || short.Least.DeviceBytes != 15*gemmaRing+2*layer || short.MostCells != 8192-Block):
			t.Errorf("%d bytes: %v; want the least that works and a context of %d", tt.memory, err, 8192-Block)
		case tt.want == "" && !strings.Contains(err.Error(), "too little for the windows of 15 layers, and for 2 slots and 0 resident layers of 8192 cells"):
			t.Errorf("%d bytes: %v", tt.memory, err)
		case tt.want != "" && (err != nil || marks(p.Resident) != tt.want || p.DeviceBytes > tt.memory):
			t.Errorf("%d bytes: %s in %d bytes, %v; want %s", tt.memory, marks(p.Resident), p.DeviceBytes, err, tt.want)
		}
	}
}

// Under auto the full layers leave, and what the others take does not grow with the trees.
func TestOnlyFullLayersLeave(t *testing.T) {
	c := gemma(65536)
	c.IfNeeded = true
	p, err := placeOne(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.LeastResident(); got[0] != 15 {
		t.Errorf("%v layers stay whatever the memory; want 15", got)
	}
	if got, want := p.Take([]int{4096, 512}), int64(2*15*gemmaRing+3*1024*(4096+512)); got != want {
		t.Errorf("two trees take %d bytes; want %d", got, want)
	}
	if got := marks(p.Demote(16, 2).Resident); strings.Count(got, "s") != 2 {
		t.Errorf("16 layers stay: %s", got)
	}
	if got, want := marks(p.Demote(0, 2).Resident), "RRRRRsRRRRRsRRRRRs"; got != want {
		t.Errorf("no layer need stay: %s; want %s", got, want)
	}
}

// A layer that shares K/V takes nothing, and the one that it shares with stays.
func TestSharedLayersStayAndTakeNothing(t *testing.T) {
	c := uniform(true, 6, 1024)
	c.Layers[4] = Layer{Shares: true, Of: 2}
	c.Layers[5] = Layer{Shares: true, Of: 3, Window: 16}
	c.Layers[3].Window, c.ChunkTokens, c.StepTokens = 16, 64, 500 // a step has room in the ring
	p, err := placeOne(c)
	if err != nil {
		t.Fatal(err)
	}
	want := Placement{
		Cells: 1024, Layers: []int{0, 1, 2, 3, 4, 5}, Rows: []int64{rowBytes, rowBytes, rowBytes, rowBytes, 0, 0},
		Rings: []int{0, 0, 0, 768, 0, 0}, Fixed: []bool{false, false, true, true, true, true},
		Resident: []bool{false, false, true, true, true, true}, Streamed: 2, Slots: 2,
		SlotBytes: 1024 * rowBytes, TreeBytes: 1024*rowBytes + 768*rowBytes, DeviceBytes: (3*1024 + 768) * rowBytes,
	}
	if diff := cmp.Diff(p, want); diff != "" {
		t.Errorf("placement (-got +want):\n%s", diff)
	}
}

func TestKindsSayWhatGrowsWithTheContext(t *testing.T) {
	c := gemma(32768)
	c.Layers = append(c.Layers, Layer{Shares: true, Of: 17})
	c.Layers[1].Window = 200
	const ring = 768 * 1024 // 711 cells
	want := Kinds{
		Full: 3, Windowed: 15, Shared: 1, LeastWindow: 200, MostWindow: 512,
		TokenBytes: 3 * 1024, RingBytes: 14*gemmaRing + ring, RingCells: 1024, PastBytes: 15 * 1024,
	}
	if diff := cmp.Diff(c.Kinds(), want); diff != "" {
		t.Errorf("kinds (-got +want):\n%s", diff)
	}
	c.Streams = false
	p, err := placeOne(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Kinds().Device(32768); got != p.DeviceBytes {
		t.Errorf("%d bytes on the device, and the placement takes %d", got, p.DeviceBytes)
	}
	if got := c.Kinds().Past(1000); got != 15*1024*1024 {
		t.Errorf("1000 tokens have %d bytes behind windows", got)
	}
	if got := gemma(1000).Kinds(); got.Full != 18 || got.RingBytes != 0 {
		t.Errorf("a context as long as the rings: %+v; want full layers alone", got)
	}
}
