package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// marks writes the resident layers as R, and the others as s.
func marks(resident []bool) string {
	text := make([]byte, len(resident))
	for i, is := range resident {
		text[i] = 's'
		if is {
			text[i] = 'R'
		}
	}
	return string(text)
}

func TestLayersThatLeaveAreSpreadEvenly(t *testing.T) {
	c := uniform(true, 12, 256)
	c.Resident = 12
	p, err := placeOne(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		stay int
		want string
	}{
		{12, "RRRRRRRRRRRR"},
		{11, "sRRRRRRRRRRR"},
		{10, "sRRRRRsRRRRR"},
		{9, "sRRsRRsRRRRR"},
		{8, "sRRsRRsRRsRR"},
		{6, "ssRssRsRRsRR"},
		{3, "sssssRssRssR"},
		{0, "ssssssssssss"},
	} {
		p = p.Demote(tt.stay, 2)
		if got := marks(p.Resident); got != tt.want || p.Streamed != 12-tt.stay || p.Slots != min(2, p.Streamed) {
			t.Errorf("%d stay: %s, %d stream through %d slots; want %s", tt.stay, got, p.Streamed, p.Slots, tt.want)
		}
	}
}

// A layer that has left does not come back, and what stays takes what the memory allows: with one
// layer more it would be too much.
func TestNoMoreLayersLeaveThanMust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCache(t)
		c.Streams, c.Resident = true, len(c.Layers)
		p, err := placeOne(c)
		if err != nil {
			t.Fatal(err)
		}
		slots, least := rapid.IntRange(1, 4).Draw(t, "slots"), rapid.IntRange(0, len(c.Layers)).Draw(t, "least")
		for range 3 {
			var trees []int
			for range rapid.IntRange(1, 3).Draw(t, "trees") {
				trees = append(trees, Block*rapid.IntRange(1, 20).Draw(t, "blocks"))
			}
			memory := rapid.Int64Range(0, 2*p.Take(trees)).Draw(t, "memory")
			q, ok := p.DemoteFor(trees, memory, least, slots)
			before, after := len(p.Layers)-p.Streamed, len(q.Layers)-q.Streamed
			least := max(least, p.fixed())
			if ok != (q.Take(trees) <= memory) || after < min(least, before) || after > before {
				t.Fatalf("%d of %d layers stay, at least %d, and take %d of %d bytes: ok %v", after, before, least, q.Take(trees), memory, ok)
			}
			for i, stays := range q.Resident {
				if stays && !p.Resident[i] {
					t.Fatalf("layer %d came back: %s after %s", i, marks(q.Resident), marks(p.Resident))
				}
				if !stays && q.Fixed[i] {
					t.Fatalf("layer %d left, which stays whatever the memory: %s", i, marks(q.Resident))
				}
			}
			if one := p.Demote(after+1, slots); ok && after < before && one.Take(trees) <= memory {
				t.Fatalf("%d layers stay, and %d would fit", after, after+1)
			}
			p = q
		}
	})
}

// One tree with the whole context takes what the placement says.
func TestWhatTreesTakeIsWhatThePlacementSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCache(t)
		p, err := placeOne(c)
		if err != nil {
			t.Fatal(err)
		}
		trees := slices.Repeat([]int{p.Cells}, c.Trees)
		if got := p.Take(trees); got != p.DeviceBytes {
			t.Fatalf("%d bytes; want %d", got, p.DeviceBytes)
		}
	})
}
