package exec

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/ggml"
)

// fixed is a claim that grows by bytes a cell.
func fixed(name string, kv int, weights, perCell int64) claim {
	return claim{name: name, kv: kv, demand: func(cells int) (demand, error) {
		return demand{ggml.Weights: weights, ggml.Masks: perCell * int64(cells)}, nil
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
		b     budget
		cells int
		left  []int64
		most  int // of 2000 cells
		err   string
	}{
		{"room", budget{bytes: 10_000, devices: []claim{fixed("gpu", 0, 1000, 1)}, least: perCell(3)}, 1000, []int64{8000}, 2000, ""},
		{"just room", budget{bytes: 5000, devices: []claim{fixed("gpu", 0, 1000, 1)}, least: perCell(3)}, 1000, []int64{3000}, 768, ""},
		{
			"too little",
			budget{bytes: 4999, devices: []claim{fixed("gpu", 0, 1000, 1)}, least: perCell(3)},
			1000, nil, 768,
			"ebb: 4999 bytes of device memory are too few on gpu for a context of 1000 tokens, with weights 1000, masks 1000, K/V at least 3000: the least that works is 5000 bytes",
		},
		{"nothing fits", budget{bytes: 1500, devices: []claim{fixed("gpu", 0, 1000, 1)}, least: perCell(3)}, 256, nil, 0, "the least that works is 2024 bytes"},
		{"weights alone are too much", budget{bytes: 500, devices: []claim{fixed("gpu", 0, 1000, 0)}, least: perCell(0)}, 256, nil, 0, "with weights 1000, K/V at least 0"},
		{
			"two devices, the second one short",
			budget{bytes: 5000, devices: []claim{fixed("a", 1, 1000, 1), fixed("b", 0, 2000, 1)}, least: perCell(3, 1)},
			1000, nil, 512,
			"on b for a context of 1000 tokens, with weights 2000, masks 1000, K/V at least 3000",
		},
		{"a device without K/V", budget{bytes: 5000, devices: []claim{fixed("a", noKV, 4000, 1)}, least: perCell(3)}, 1000, []int64{0}, 768, ""},
		{"no device", budget{bytes: 1, least: perCell(3)}, 1000, []int64{}, 2000, ""},
	} {
		left, err := test.b.left(test.cells)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: got  %v\nwant %s", test.name, err, test.err)
			}
		} else if diff := cmp.Diff(left, test.left); err != nil || diff != "" {
			t.Errorf("%s: %v, left (-got +want):\n%s", test.name, err, diff)
		}
		if most, err := test.b.most(2000); most != test.most || err != nil {
			t.Errorf("%s: most %d, %v; want %d", test.name, most, err, test.most)
		}
	}
}

func TestWhatCannotBeMeasuredIsNotTakenForTooLittle(t *testing.T) {
	broken := errors.New("broken")
	b := budget{bytes: 1, devices: []claim{{kv: noKV, demand: func(int) (demand, error) { return nil, broken }}}, least: func(int) []int64 { return nil }}
	if _, err := b.left(256); !errors.Is(err, broken) {
		t.Errorf("left: %v, want %v", err, broken)
	}
	if _, err := b.most(256); !errors.Is(err, broken) {
		t.Errorf("most: %v, want %v", err, broken)
	}
}

func TestABudgetErrorNamesAContextThatWorks(t *testing.T) {
	err := &budgetError{device: "gpu", bytes: 1, cells: 512, demand: demand{ggml.Scratches: 7}, kv: 8, most: 256}
	want := "ebb: 1 bytes of device memory are too few on gpu for a context of 512 tokens, with scratch 7, K/V at least 8: the least that works is 15 bytes, or a context of at most 256"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestChunksFillWhatInputsHaveRoomFor(t *testing.T) {
	s := sizes{step: 100, chunk: 10, cells: 256}
	for trees := 1; trees <= 10; trees++ {
		for i, shape := range chunks(s, 1, trees) {
			n, want := 0, trees
			if i == 0 {
				want = 1
			}
			for i, p := range shape.parts {
				if p.tree != i || p.first != n || p.n < 1 || p.mask != n*s.cells || p.attended != s.cells {
					t.Errorf("%d trees: part %d is %+v after %d tokens", trees, i, p, n)
				}
				n += p.n
			}
			if len(shape.parts) != want || n != s.chunk || shape.n != s.chunk {
				t.Errorf("%d trees: %d parts with %d of %d tokens, want %d parts with %d", trees, len(shape.parts), n, shape.n, want, s.chunk)
			}
		}
	}
}
