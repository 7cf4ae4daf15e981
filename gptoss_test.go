package ebb_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// Products with MXFP4 round activations to 8 bits, on each instruction set in another order: 0.14 was
// measured between two builds of libllama, and 0.38 between these kernels and exact products.
func TestMXFP4ExpertsEqualLibllama(t *testing.T) {
	type withLlama struct {
		Prompt []int32
		Logits [][]float32
		Llama  [][]float32 `json:"llama_logits"`
	}
	for _, policy := range []kv.Policy{kv.Static, kv.Offloaded} {
		e := cpuCopies.open(t, modelPath("tiny-gptoss-mxfp4"), ebb.Options{Cache: policy, KVType: "f32"})
		for _, c := range golden[withLlama](t, "logits_tiny-gptoss-mxfp4") {
			s := e.NewSeq()
			got := forward(t, e, s, c.Prompt, len(c.Logits))
			t.Logf("prompt of %d: %g from libllama, %g from exact", len(c.Prompt), worst(t, got, c.Llama), worst(t, got, c.Logits))
			if d := worst(t, got, c.Llama); d > 0.2 {
				t.Errorf("%v: prompt of %d: logits differ by %g from libllama's; want at most 0.2", policy, len(c.Prompt), d)
			}
			if d := worst(t, got, c.Logits); d > 0.5 {
				t.Errorf("%v: prompt of %d: logits differ by %g from exact ones; want at most 0.5", policy, len(c.Prompt), d)
			}
			closeSeq(t, s)
		}
	}
}

type goldenBranches struct {
	Prefix   []int32
	Branches []struct {
		Keep      int
		Suffix    []int32
		Positions []int
		Logits    [][]float32
		IDs       []int32
	}
}

// Sequences go on from anywhere in a text: from its end, from inside the window and from before it.
// Each branch is a fork that is cut, and one after the other a sequence that is cut again and again.
func TestBranchesOfATextEqualHuggingFace(t *testing.T) {
	for _, model := range []string{"tiny-gptoss"} {
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
								got := forward(t, e, s, rest, len(b.Positions))
								if d := worst(t, got, b.Logits); d > p.tolerance() {
									t.Errorf("text %d, branch %d, %s: logits differ by %g; want at most %g", i, j, name, d, p.tolerance())
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

// A prompt in several steps, whose parts begin inside the windows of those before.
func TestAnySplitOfAPromptThroughSinksAndWindowsGivesTheSameLogits(t *testing.T) {
	tokens := prompt(7, 120)
	e := cpuCopies.open(t, modelPath("tiny-gptoss"), ebb.Options{KVType: "f32", Cache: kv.Offloaded})
	var want [][]float32
	for _, sizes := range [][]int{{120}, {1, 119}, {9, 7, 8, 96}, {100, 1, 1, 18}} {
		s := e.NewSeq()
		var got [][]float32
		for _, n := range sizes {
			got = append(got, forward(t, e, s, tokens[len(got):len(got)+n], n)...)
		}
		closeSeq(t, s)
		if want == nil {
			want = got
		}
		if err := near(t, got, want); err != nil {
			t.Errorf("split %v: %v", sizes, err)
		}
	}
}
