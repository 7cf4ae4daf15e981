package ebb_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
)

// ownKernels skips a test of bits where ggml computes: it has other sums for one token than for several.
func ownKernels(t *testing.T) {
	t.Helper()
	if isa.Best.Resolved() <= isa.GGML {
		t.Skip("cpu: ebb has no kernels for it")
	}
}

// alone returns the logits of all tokens of a text that goes through the model one token at a time.
func alone(t *testing.T, e *ebb.Engine, tokens []int32) [][]float32 {
	t.Helper()
	return inPieces(t, e, tokens, slices.Repeat([]int{1}, len(tokens)))
}

// inPieces returns the logits of all tokens of a text that goes through the model in pieces.
func inPieces(t *testing.T, e *ebb.Engine, tokens []int32, pieces []int) (rows [][]float32) {
	t.Helper()
	s := e.NewSeq()
	defer closeSeq(t, s)
	for _, n := range pieces {
		rows = append(rows, forward(t, e, s, tokens[len(rows):len(rows)+n], n)...)
	}
	return rows
}

// pieces divides n at random.
func pieces(rng *rand.Rand, n int) (all []int) {
	for n > 0 {
		some := min(n, 1+rng.IntN(1+rng.IntN(n)))
		all, n = append(all, some), n-some
	}
	return all
}

// beside returns the logits of a text that goes through the model in pieces at random, among other
// sequences, which have had other tokens before and get some in each step.
func beside(t *testing.T, e *ebb.Engine, rng *rand.Rand, tokens []int32, others int) (rows [][]float32) {
	t.Helper()
	s := e.NewSeq()
	defer closeSeq(t, s)
	var all []*kv.Seq
	for i := range others {
		o := e.NewSeq()
		defer closeSeq(t, o)
		forward(t, e, o, prompt(100+i, 1+rng.IntN(70)), 1)
		all = append(all, o)
	}
	step := 0
	for len(rows) < len(tokens) {
		n := min(len(tokens)-len(rows), []int{1, 1, 2, 7, 20, 60}[rng.IntN(6)])
		mine := kv.Work{Seq: s, Tokens: tokens[len(rows) : len(rows)+n], Logits: n}
		at := rng.IntN(others + 1)
		var batch []kv.Work
		for i, o := range all {
			if i == at {
				batch = append(batch, mine)
			}
			step++
			batch = append(batch, kv.Work{Seq: o, Tokens: prompt(1000+step, []int{1, 1, 2, 5}[rng.IntN(4)]), Logits: 1})
		}
		if at == others {
			batch = append(batch, mine)
		}
		out, err := e.Forward(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, out[at]...)
	}
	return rows
}

// afterForks is beside for a sequence that is the fork of a fork, each of which has ended.
func afterForks(t *testing.T, e *ebb.Engine, tokens []int32) (rows [][]float32) {
	t.Helper()
	s := e.NewSeq()
	for len(rows) < len(tokens) {
		n := min(len(tokens)-len(rows), 19)
		rows = append(rows, forward(t, e, s, tokens[len(rows):len(rows)+n], n)...)
		f, err := s.Fork()
		if err != nil {
			t.Fatal(err)
		}
		closeSeq(t, s)
		s = f
	}
	closeSeq(t, s)
	return rows
}

// asBeams returns the logits of a text that goes through the model among some forks, with which it shares
// its first tokens.
func asBeams(t *testing.T, e *ebb.Engine, tokens []int32, shared, forks int) (rows [][]float32) {
	t.Helper()
	seqs := []*kv.Seq{e.NewSeq()}
	rows = forward(t, e, seqs[0], tokens[:shared], shared)
	for range forks {
		f, err := seqs[0].Fork()
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, f)
	}
	for _, s := range seqs {
		defer closeSeq(t, s)
	}
	for i := range tokens[shared:] {
		var batch []kv.Work
		for j, s := range seqs {
			batch = append(batch, kv.Work{Seq: s, Tokens: prompt(10*i+j, 1), Logits: 1})
		}
		batch[2].Tokens = tokens[shared+i:][:1]
		out, err := e.Forward(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, out[2]...)
	}
	return rows
}

// inAnyCompany compares the logits of a text alone with those in pieces, beside others, and after forks,
// bit for bit, for chunks of some sizes.
func inAnyCompany(t *testing.T, path, kvType string, tokens []int32, chunks ...int) {
	t.Helper()
	var want [][]float32
	for i, chunk := range chunks {
		e := cpuInPlace.open(t, path, ebb.Options{KVType: kvType, ChunkTokens: chunk, Threads: 1 + i%2})
		if want == nil {
			want = alone(t, e, tokens)
		}
		rng := rand.New(rand.NewPCG(1, uint64(chunk)))
		check := func(what string, got [][]float32) {
			t.Helper()
			if err := sameBits(got, want); err != nil {
				t.Errorf("K/V %s, chunks of %d, %s: %v; the logits differ by %g", kvType, chunk, what, err, worst(t, got, want))
			}
		}
		check("at once", inPieces(t, e, tokens, []int{len(tokens)}))
		p := pieces(rng, len(tokens))
		check(fmt.Sprint("in pieces of ", p), inPieces(t, e, tokens, p))
		if i > 0 {
			continue
		}
		for _, n := range []int{1, 2, 5} {
			check(fmt.Sprintf("beside %d", n), beside(t, e, rng, tokens, n))
		}
		check("after forks", afterForks(t, e, tokens))
	}
}

// A sequence has the same logits, bit for bit, alone and beside others, however its text is divided:
// dense models, mixtures, models with windows and hybrids, with every type of K/V.
func TestASequenceHasTheSameBitsInAnyCompany(t *testing.T) {
	ownKernels(t)
	for _, c := range []struct {
		model   string
		tokens  int
		kvTypes []string
		chunks  []int
	}{
		{"tiny-gqa", 300, []string{"f16"}, []int{512, 17}}, // past a block
		{"tiny-gqa", 40, []string{"f32"}, []int{512, 1, 3, 16}},
		{"tiny-gqa", 40, []string{"q8_0", "bf16", "q4_0"}, []int{512, 17}},
		{"tiny-qwen3moe", 40, []string{"f16", "q8_0"}, []int{512, 3}},
		{"tiny-gptoss-mxfp4", 40, []string{"f16"}, []int{512, 16}},
		{"tiny-gemma3", 40, []string{"f16", "f32"}, []int{512, 3}},
		{"tiny-gemma4-e", 40, []string{"f16"}, []int{512, 17}},
		{"tiny-qwen35moe", 40, []string{"f16"}, []int{512, 3}},
		{"tiny-granitehybrid-moe", 40, []string{"f16"}, []int{512, 16}},
		{"tiny-lfm2", 40, []string{"f16"}, []int{512, 3}},
	} {
		t.Run(c.model, func(t *testing.T) {
			path := goldenPath(t, c.model)
			for _, kvType := range c.kvTypes {
				inAnyCompany(t, path, kvType, prompt(7, c.tokens), c.chunks...)
			}
		})
	}
}

// So it is with weights of every type that ebb multiplies by itself.
func TestWeightsOfEveryTypeGiveTheSameBitsInAnyCompany(t *testing.T) {
	ownKernels(t)
	for _, typ := range []ggml.Type{
		ggml.F32, ggml.F16, ggml.BF16, ggml.Q4_0, ggml.Q4_1, ggml.Q5_0, ggml.Q5_1, ggml.Q8_0,
		ggml.Q2_K, ggml.Q3_K, ggml.Q4_K, ggml.Q5_K, ggml.Q6_K, ggml.IQ4_NL, ggml.IQ4_XS, ggml.MXFP4,
	} {
		t.Run(typ.String(), func(t *testing.T) {
			path := testmodel.WriteFile(t, testmodel.Options{Layers: 1, Hidden: 256, Heads: 8, KVHeads: 2, FF: 256, Vocab: 288, Type: typ, Seed: 5})
			inAnyCompany(t, path, "f16", prompt(8, 21), 512, 3)
		})
	}
}

// A sequence that goes on beside its forks has the logits, bit for bit, that it has alone: its rows lie
// among theirs, and attention takes them in the order of the sequence.
func TestBeamsHaveTheBitsOfSequencesAlone(t *testing.T) {
	ownKernels(t)
	for _, c := range []struct {
		model                 string
		shared, forks, tokens int
		kvTypes               []string
	}{
		{"tiny-gqa", 19, 3, 90, []string{"f32", "f16", "q8_0", "bf16", "q4_0"}},
		{"tiny-gqa", 240, 3, 330, []string{"f16"}}, // past a range and a block
		{"tiny-qwen3moe", 19, 3, 60, []string{"f16"}},
		{"tiny-gemma3", 230, 18, 300, []string{"f16", "q8_0"}}, // past the ends of rings, which grow
		{"tiny-gemma4-e", 240, 3, 300, []string{"f16"}},
		{"tiny-gptoss-mxfp4", 19, 3, 60, []string{"f16"}},
		{"tiny-qwen35moe", 19, 3, 40, []string{"f16"}},
	} {
		t.Run(c.model, func(t *testing.T) {
			for _, kvType := range c.kvTypes {
				e := cpuInPlace.open(t, goldenPath(t, c.model), ebb.Options{KVType: kvType, ChunkTokens: 32, Context: 2048})
				tokens := prompt(9, c.tokens)
				want := alone(t, e, tokens)
				for what, got := range map[string][][]float32{"beside forks": asBeams(t, e, tokens, c.shared, c.forks), "as a search does": asSearch(t, e, tokens, c.shared)} {
					if err := sameBits(got, want); err != nil {
						t.Errorf("K/V %s, %s: %v; the logits differ by %g", kvType, what, err, worst(t, got, want))
					}
				}
			}
		})
	}
}

// asSearch is asBeams for a text that goes from beam to beam: after each step, some beams end, and others
// take their places.
func asSearch(t *testing.T, e *ebb.Engine, tokens []int32, shared int) (rows [][]float32) {
	t.Helper()
	const beams = 3
	fork := func(s *kv.Seq) *kv.Seq {
		f, err := s.Fork()
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	rng := rand.New(rand.NewPCG(3, 3))
	seqs := []*kv.Seq{e.NewSeq()}
	rows = forward(t, e, seqs[0], tokens[:shared], shared)
	for range beams - 1 {
		seqs = append(seqs, fork(seqs[0]))
	}
	for mine := 0; len(rows) < len(tokens); {
		n := min(len(tokens)-len(rows), []int{1, 1, 1, 2, 9}[rng.IntN(5)])
		var batch []kv.Work
		for j, s := range seqs {
			batch = append(batch, kv.Work{Seq: s, Tokens: prompt(10*len(rows)+j, 1+rng.IntN(3)), Logits: 1})
		}
		batch[mine] = kv.Work{Seq: seqs[mine], Tokens: tokens[len(rows) : len(rows)+n], Logits: n}
		out, err := e.Forward(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, out[mine]...)
		from := []int{mine, rng.IntN(beams), rng.IntN(beams)}
		rng.Shuffle(beams, func(i, j int) { from[i], from[j] = from[j], from[i] })
		var next []*kv.Seq
		for _, i := range from {
			next = append(next, fork(seqs[i]))
		}
		mine = slices.Index(from, mine)
		for _, s := range seqs {
			closeSeq(t, s)
		}
		seqs = next
	}
	for _, s := range seqs {
		closeSeq(t, s)
	}
	return rows
}

// A prompt that goes in passes beside growing texts gives the text, and to the bit the probabilities, that
// it gives alone, and so do the others.
func TestAPromptInPassesHasTheBitsOfAPromptAlone(t *testing.T) {
	ownKernels(t)
	for _, model := range []string{"tiny-gqa", "tiny-gemma3", "tiny-qwen35moe"} {
		t.Run(model, func(t *testing.T) {
			e := cpuInPlace.open(t, goldenPath(t, model), ebb.Options{Context: 512, Sequences: 4})
			config := ebb.GenerationConfig{MaxNewTokens: 60, EOSTokenID: endless, OutputScores: true, TopLogProbs: 5}
			requests := []ebb.Request{{Prompt: prompt(1, 9)}, {Prompt: prompt(2, 40)}, {Prompt: prompt(3, 3)}, {Prompt: prompt(4, 150)}}
			var want []ebb.Completion
			for i := range requests {
				requests[i].Config = config
				alone, err := e.Complete(t.Context(), requests[i].Prompt, config)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, alone...)
			}
			b := e.NewBatch(ebb.BatchOptions{StepTime: 1}) // so that passes are as short as they may be
			defer b.Close()
			var generations []*ebb.Generation
			for i, r := range requests {
				g, err := b.Add(r)
				if err != nil {
					t.Fatal(err)
				}
				generations = append(generations, g)
				if _, err := b.Step(t.Context()); err != nil {
					t.Fatal(err)
				}
				if i == 1 && g.PromptLeft() == 0 {
					t.Error("a step beside a text, the first one, takes a prompt of 40 tokens: want a pass of it")
				}
			}
			if err := b.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i, g := range generations {
				if diff := cmp.Diff(g.Completions(), want[i:i+1]); diff != "" || g.Err() != nil {
					t.Errorf("request %d: error %v (-got +want):\n%s", i, g.Err(), diff)
				}
			}
		})
	}
}
