package ebb_test

import (
	"slices"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tokenizer"
)

// storyTokens returns the first tokens of a text in a model's vocabulary.
func storyTokens(t *testing.T, e *ebb.Engine, n int) []int32 {
	t.Helper()
	ids, err := e.Tokenizer().Encode(testmodel.Story(n/8), tokenizer.Options{AddSpecial: true})
	if err != nil || len(ids) < n {
		t.Fatalf("%d tokens and the error %v, want %d", len(ids), err, n)
	}
	return ids[:n]
}

func TestRealModelsGiveTheBitsOfStaticUnderEveryPolicy(t *testing.T) {
	for _, file := range []string{testmodel.Gemma3, testmodel.QwenCoder} {
		t.Run(file, func(t *testing.T) {
			path := testmodel.Real(t, file)
			const tokens, steps = 4000, 4
			var want [][]float32
			for _, policy := range []kv.Policy{kv.Static, kv.Offloaded, kv.OffloadedStatic, kv.Dynamic, kv.Auto} {
				o := ebb.Options{Cache: policy, Context: tokens + steps}
				if policy == kv.Auto {
					o.KVMemory = 24 << 20 // for some layers: the others leave while the text is read
				}
				e := cpuCopies.open(t, path, o)
				ids, rows := greedy(t, e, storyTokens(t, e, tokens), steps)
				if want == nil {
					want = rows
				}
				if err := sameBits(rows, want); err != nil {
					t.Errorf("%v: %v (ids %v)", policy, err, ids)
				}
				if s := e.Stats().Cache; policy != kv.Static && policy != kv.Dynamic && s.FetchedBytes == 0 {
					t.Errorf("%v: nothing was fetched, so the test shows nothing", policy)
				}
				if err := e.Close(); err != nil { // its memory, before the next one
					t.Error(err)
				}
			}
		})
	}
}

// Files have other types of weights than the small models, and several in one, and the device rounds to
// half precision. Its buffers are too small for the large matrix that scores tokens, which is the CPU's.
func TestRealModelsComputeOnAnotherDevice(t *testing.T) {
	for _, file := range []string{testmodel.Gemma3, testmodel.QwenCoder} {
		t.Run(file, func(t *testing.T) {
			path := testmodel.Real(t, file)
			haveDevice(t, onGPU.device)
			o := ebb.Options{Threads: 1, Cache: kv.Offloaded, Context: 256, DeviceMap: ebb.DeviceMap{
				"": onGPU.device, "model.embed_tokens": "cpu", "lm_head": "cpu",
			}}
			e, err := ebb.Open(path, o)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			ids := storyTokens(t, e, 24)
			got, rows := greedy(t, e, ids, 1)
			want, wantRows := greedy(t, cpuCopies.open(t, path, ebb.Options{Cache: kv.Offloaded, Context: 256}), ids, 1)
			d := worst(t, rows, wantRows)
			if t.Logf("logits differ by %.2g at most", d); !slices.Equal(got, want) || !(d <= 4) {
				t.Errorf("the next token is %d, and logits differ by %g from the CPU's: want %d, and at most 4", got[0], d, want[0])
			}
		})
	}
}

// The ids are those of the models' own tokenizers in Hugging Face's form.
func TestTextsOfRealModelsHaveTheIDsOfTheirTokenizers(t *testing.T) {
	for file, texts := range map[string]map[string][]int32{
		testmodel.QwenCoder: {
			"Hello, world!":      {9707, 11, 1879, 0},
			"<|im_start|>user\n": {151644, 872, 198},
		},
		testmodel.Gemma3: {
			"Hello, world!": {2, 9259, 236764, 1902, 236888},
		},
	} {
		t.Run(file, func(t *testing.T) {
			tok, err := tokenizer.Open(testmodel.Real(t, file))
			if err != nil {
				t.Fatal(err)
			}
			defer tok.Close()
			for text, want := range texts {
				got, err := tok.Encode(text, tokenizer.Options{AddSpecial: true, ParseSpecial: true})
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("%q: got %v and the error %v, want %v", text, got, err, want)
				}
				if text := tok.Decode(got, true); text == "" {
					t.Errorf("%v has no text", got)
				}
			}
		})
	}
}
