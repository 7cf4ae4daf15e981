package plan

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// growing is a device whose footprint grows by bytes a cell.
func growing(name string, kv int, weights, perCell int64) Device {
	return Device{Name: name, KV: kv, Footprint: func(cells int) (Footprint, error) {
		return Footprint{Weights: weights, Masks: perCell * int64(cells)}, nil
	}}
}

func TestABudgetIsSharedOut(t *testing.T) {
	perCell := func(bytes ...int64) func(int) []int64 {
		return func(cells int) []int64 {
			least := make([]int64, len(bytes))
			for i, n := range bytes {
				least[i] = n * int64(cells)
			}
			return least
		}
	}
	for _, test := range []struct {
		name  string
		b     Budget
		least func(cells int) []int64
		cells int
		left  []int64
		most  int // of 2000 cells
		err   string
	}{
		{"room", Budget{Bytes: 10_000, Devices: []Device{growing("gpu", 0, 1000, 1)}}, perCell(3), 1000, []int64{8000}, 2000, ""},
		{"just room", Budget{Bytes: 5000, Devices: []Device{growing("gpu", 0, 1000, 1)}}, perCell(3), 1000, []int64{3000}, 768, ""},
		{
			"too little",
			Budget{Bytes: 4999, Devices: []Device{growing("gpu", 0, 1000, 1)}},
			perCell(3),
			1000, nil, 768,
			"4.8 KiB of device memory is too little on gpu for a context of 1000 tokens, with weights 1000 B, masks 1000 B, K/V at least 3.0 KiB: the least that works is 4.9 KiB",
		},
		{"nothing fits", Budget{Bytes: 1500, Devices: []Device{growing("gpu", 0, 1000, 1)}}, perCell(3), 256, nil, 0, "the least that works is 2.0 KiB"},
		{"weights alone are too much", Budget{Bytes: 500, Devices: []Device{growing("gpu", 0, 1000, 0)}}, perCell(0), 256, nil, 0, "with weights 1000 B, K/V at least 0 B"},
		{
			"two devices, the second one short",
			Budget{Bytes: 5000, Devices: []Device{growing("a", 1, 1000, 1), growing("b", 0, 2000, 1)}},
			perCell(3, 1),
			1000, nil, 512,
			"on b for a context of 1000 tokens, with weights 2.0 KiB, masks 1000 B, K/V at least 3.0 KiB",
		},
		{"a device without K/V", Budget{Bytes: 5000, Devices: []Device{growing("a", NoKV, 4000, 1)}}, perCell(3), 1000, []int64{0}, 768, ""},
		{"no device", Budget{Bytes: 1}, perCell(3), 1000, []int64{}, 2000, ""},
	} {
		left, err := test.b.left(test.cells, test.least)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: got  %v\nwant %s", test.name, err, test.err)
			}
		} else if diff := cmp.Diff(left, test.left); err != nil || diff != "" {
			t.Errorf("%s: %v, left (-got +want):\n%s", test.name, err, diff)
		}
		if most, err := test.b.mostCells(2000, test.least); most != test.most || err != nil {
			t.Errorf("%s: most %d, %v; want %d", test.name, most, err, test.most)
		}
	}
}

func TestWhatCannotBeMeasuredIsNotTakenForTooLittle(t *testing.T) {
	broken := errors.New("broken")
	b := Budget{Bytes: 1, Devices: []Device{{KV: NoKV, Footprint: func(int) (Footprint, error) { return Footprint{}, broken }}}}
	least := func(int) []int64 { return nil }
	if _, err := b.left(256, least); !errors.Is(err, broken) {
		t.Errorf("left: %v, want %v", err, broken)
	}
	if _, err := b.mostCells(256, least); !errors.Is(err, broken) {
		t.Errorf("most: %v, want %v", err, broken)
	}
	for _, cells := range []int{0, 256} {
		c := uniform(false, 1, cells)
		if _, err := c.Fit(1000, b); !errors.Is(err, broken) {
			t.Errorf("fit of %d cells: %v, want %v", cells, err, broken)
		}
	}
}

func TestABudgetErrorNamesAContextThatWorks(t *testing.T) {
	err := &BudgetError{Device: "gpu", Bytes: 1, Cells: 512, Footprint: Footprint{Scratch: 7}, KV: 8, MostCells: 256}
	want := "1 B of device memory is too little on gpu for a context of 512 tokens, with scratch 7 B, K/V at least 8 B: the least that works is 15 B, or a context of at most 256"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// A cache of 4 layers takes 32 bytes a cell, and the steps one.
func TestACacheIsFitIntoABudget(t *testing.T) {
	within := func(bytes int64) Budget { return Budget{Bytes: bytes, Devices: []Device{growing("gpu", 0, 1000, 1)}} }
	for _, test := range []struct {
		name   string
		cells  int // 0: open, up to 2000
		memory []int64
		budget Budget
		want   int // cells
		left   []int64
		err    string
	}{
		{"no bound", 1000, nil, Budget{}, 1000, []int64{0}, ""},
		{"no bound, open", 0, nil, Budget{}, 2000, []int64{0}, ""},
		{"room", 1000, nil, within(100_000), 1000, []int64{98_000}, ""},
		{"room, open", 0, nil, within(100_000), 2000, []int64{97_000}, ""},
		{"open, cut", 0, nil, within(20_000), 512, []int64{18_488}, ""},
		{"less memory than the budget leaves", 1000, []int64{40_000}, within(100_000), 1000, []int64{40_000}, ""},
		{"more than it leaves", 1000, []int64{99_000}, within(100_000), 1000, []int64{98_000}, ""},
		{"memory cuts what the budget does not", 0, []int64{9000}, within(100_000), 256, []int64{9000}, ""},
		{"memory for none", 0, []int64{100}, Budget{}, 256, []int64{100}, ""},
		{"too little", 1000, nil, within(20_000), 0, nil, "K/V at least 32.0 KiB: the least that works is 34.0 KiB, or a context of at most 512"},
		{"too little for any", 0, nil, within(1001), 0, nil, "for a context of 256 tokens"},
	} {
		c := uniform(false, 4, test.cells)
		c.Memory = test.memory
		got, err := c.Fit(2000, test.budget)
		if test.err != "" {
			if short, ok := errors.AsType[*BudgetError](err); !ok || !strings.Contains(short.Error(), test.err) {
				t.Errorf("%s: got  %v\nwant %s", test.name, err, test.err)
			}
			continue
		}
		if diff := cmp.Diff(got.Memory, test.left); err != nil || got.Cells != test.want || diff != "" {
			t.Errorf("%s: %d cells, %v; want %d; memory (-got +want):\n%s", test.name, got.Cells, err, test.want, diff)
		}
	}
}

// Llama-3.1-8B: a mask of 64 MiB allows 256 tokens a chunk at 131072 cells.
func TestTheFootprintOfAHeader(t *testing.T) {
	got := Model{Weights: 8 << 30, Context: 131072, Hidden: 4096, Vocab: 128256, FeedForward: 14336}.Footprint()
	want := Footprint{
		Weights: 8 << 30, Inputs: 4096 * (32*16 + 4), Masks: 64 << 20,
		Activations: 4 * (2*4096*4096 + 128256*32), Scratch: 4 * 256 * (2*4096 + 3*14336),
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("footprint (-got +want):\n%s", diff)
	}
}
