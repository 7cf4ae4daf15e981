package ebb_test

import (
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/tokenizer"
)

// splits are ways to split a model of tensors into parts.
var splits = []struct {
	name  string
	parts int
	part  func(i int) int
}{
	{"in order", 2, func(i int) int { return i / 24 }},
	{"layers crossing parts", 3, func(i int) int { return i % 3 }},
	{"backwards", 3, func(i int) int { return 2 - i/16 }},
	{"first part without tensors", 2, func(int) int { return 1 }},
}

func TestASplitModelGivesTheTokensOfTheWholeOne(t *testing.T) {
	for _, p := range allPlaces {
		for i, s := range splits {
			if p.short() && i > 0 {
				continue // one split shows that weights are copied from their part
			}
			t.Run(p.name+"/"+s.name, func(t *testing.T) {
				requireDevice(t, p.device)
				paths := testmodel.Split(t, modelPath("tiny-gqa"), s.parts, s.part)
				e := p.open(t, paths[0], ebb.Options{KVType: "f32"})
				cases := golden[goldenGreedy](t, "greedy_tiny-gqa")
				if p.short() {
					cases = cases[:1]
				}
				for _, c := range cases {
					n := firstUnsure(c.Margins, p)
					if got, _ := greedy(t, e, c.Prompt, n); !slices.Equal(got, c.IDs[:n]) {
						t.Errorf("prompt of %d:\n got %v\nwant %v", len(c.Prompt), got, c.IDs[:n])
					}
				}
			})
		}
	}
}

func TestAnyPartOpensTheSplitModel(t *testing.T) {
	paths := testmodel.Split(t, modelPath("tiny-gqa"), 3, func(i int) int { return i % 3 })
	e := cpuInPlace.open(t, paths[2], ebb.Options{KVType: "f32"})
	c := golden[goldenGreedy](t, "greedy_tiny-gqa")[0]
	if got, _ := greedy(t, e, c.Prompt, len(c.IDs)); !slices.Equal(got, c.IDs) {
		t.Errorf("ids:\n got %v\nwant %v", got, c.IDs)
	}
	ids, err := e.Tokenizer().Encode("in the end", tokenizer.Options{})
	if err != nil || len(ids) == 0 {
		t.Errorf("tokens of a text: %v, %v", ids, err)
	}
}
