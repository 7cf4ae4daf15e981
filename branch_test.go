package ebb_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

type goldenBranches struct {
	Prefix   []int32
	Branches []struct {
		goldenLogits
		Keep        int
		Suffix, IDs []int32
	}
}

// Sequences go on from anywhere in a text: from its end, from inside the window and from before it.
// Each branch is a fork that is cut, and one after the other a sequence that is cut again and again.
func TestBranchesOfATextEqualHuggingFace(t *testing.T) {
	for _, model := range []string{"tiny-gptoss", "tiny-gemma4", "tiny-qwen35", "tiny-qwen35moe"} {
		for _, p := range []place{cpuInPlace, cpuCopies} {
			for _, o := range []ebb.Options{{Cache: kv.Static}, {Cache: kv.Offloaded}, {Cache: kv.Offloaded, Attend: ebb.AttendAtHost}} {
				if o.Attend != ebb.AttendAtDevice && !p.copies {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%v/%v", model, p.name, o.Cache, o.Attend), func(t *testing.T) {
					o.KVType = "f32"
					e := p.open(t, modelPath(model), o)
					for i, c := range golden[goldenBranches](t, "branch_"+model) {
						whole, again := e.NewSeq(), e.NewSeq()
						forward(t, e, whole, c.Prefix, 1)
						for j, b := range c.Branches {
							fork, err := whole.Fork()
							if err != nil {
								t.Fatal(err)
							}
							if again.Len() == 0 {
								forward(t, e, again, c.Prefix, 1)
							}
							for name, s := range map[string]*kv.Seq{"fork": fork, "sequence": again} {
								keep := min(b.Keep, s.Len())
								if s == again && j > 0 { // what the branch before has behind what both keep goes
									keep = min(keep, c.Branches[j-1].Keep)
								}
								if err := s.Truncate(keep); err != nil {
									t.Fatal(err)
								}
								rest := append(slices.Clone(c.Prefix[keep:b.Keep]), b.Suffix...)
								got := forward(t, e, s, rest, len(b.Logits))
								if d := worst(t, got, b.in(p)); d > p.toleranceOf(model) {
									t.Errorf("text %d, branch %d, %s: logits differ by %g; want at most %g", i, j, name, d, p.toleranceOf(model))
								}
								for n, want := range b.IDs {
									id := best(got[len(got)-1])
									if id != want {
										t.Errorf("text %d, branch %d, %s: id %d is %d, want %d", i, j, name, n, id, want)
										break
									}
									got = forward(t, e, s, []int32{id}, 1)
								}
							}
							closeSeq(t, fork)
						}
						closeSeq(t, whole)
						closeSeq(t, again)
					}
				})
			}
		}
	}
}
