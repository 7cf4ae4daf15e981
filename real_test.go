package ebb_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/gguf"
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

// Deep in a text, a step fetches the rows of the layers that see all of it, and nothing of those with a
// window, whose rings are as large as at its beginning.
func TestGemma3FetchesItsFullLayersAlone(t *testing.T) {
	path := testmodel.Real(t, testmodel.Gemma3)
	const (
		tokens, steps = 8000, 4
		full, windows = 3, 15
		row           = 256 * 2 * 2 // key and value of one head, in f16
		ring, slots   = 1024, 2     // cells: a window of 512 and graphs of 512 tokens; layers
		context       = 8192
	)
	e := cpuCopies.open(t, path, ebb.Options{Cache: kv.Offloaded, Context: context})
	s := e.NewSeq()
	defer closeSeq(t, s)
	ids := storyTokens(t, e, tokens+steps)
	forward(t, e, s, ids[:tokens], 1)
	before := e.Stats().Cache
	for i := range steps {
		forward(t, e, s, ids[tokens+i:][:1], 1)
	}
	after := e.Stats().Cache
	if after.StreamedLayers != full || after.WindowedLayers != windows {
		t.Errorf("%d layers stream and %d have windows, want %d and %d", after.StreamedLayers, after.WindowedLayers, full, windows)
	}
	if want := int64(windows*ring+slots*context) * row; after.DeviceBytesPeak != want {
		t.Errorf("%d bytes on the device, want %d", after.DeviceBytesPeak, want)
	}
	const visit = full * context * row // and what is fetched ahead for the step that follows
	if got := after.FetchedBytes - before.FetchedBytes; got == 0 || got > (steps+1)*visit {
		t.Errorf("%d steps fetched %d bytes, want at most those of %d layers each, %d", steps, got, full, visit)
	}
	const most = (steps*full + windows*ring) * row // the new rows, and what is in the rings once
	if got := after.StoredBytes - before.StoredBytes; got > most {
		t.Errorf("%d steps stored %d bytes, want at most %d", steps, got, most)
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

// The texts are those of jinja2 3.1.6 with transformers' settings.
func TestTheTemplateOfQwenCoderRendersTools(t *testing.T) {
	file, err := gguf.Open(testmodel.Real(t, testmodel.QwenCoder))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	source, err := file.String("tokenizer.chat_template")
	if err != nil {
		t.Fatal(err)
	}
	template, err := chat.New(source, chat.Vars{})
	if err != nil {
		t.Fatal(err)
	}
	var tool chat.Tool
	const definition = `{"type": "function", "function": {"name": "get_weather", "description": "The weather now", ` +
		`"parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}`
	if err := json.Unmarshal([]byte(definition), &tool); err != nil {
		t.Fatal(err)
	}
	question := chat.Message{Role: "user", Content: "How warm is it in Paris?"}
	call := chat.Message{Role: "assistant", ToolCalls: []chat.ToolCall{{Name: "get_weather", Arguments: `{"city": "Paris"}`}}}
	result := chat.Message{Role: "tool", Name: "get_weather", Content: "21 °C"}
	for _, tt := range []struct {
		messages []chat.Message
		tools    []chat.Tool
		want     string
	}{
		{[]chat.Message{question}, nil, `<|im_start|>system
You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>
<|im_start|>user
How warm is it in Paris?<|im_end|>
<|im_start|>assistant
`},
		{[]chat.Message{question, call, result}, []chat.Tool{tool}, `<|im_start|>system
You are Qwen, created by Alibaba Cloud. You are a helpful assistant.

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name": "get_weather", "description": "The weather now", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
<|im_start|>user
How warm is it in Paris?<|im_end|>
<|im_start|>assistant
<tool_call>
{"name": "get_weather", "arguments": {"city": "Paris"}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
21 °C
</tool_response><|im_end|>
<|im_start|>assistant
`},
	} {
		got, err := template.Render(tt.messages, chat.RenderOptions{AddGenerationPrompt: true, Tools: tt.tools})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, tt.want); diff != "" {
			t.Errorf("%d messages (-got +want):\n%s", len(tt.messages), diff)
		}
	}
	if got := template.Format("qwen2"); got != chat.Hermes {
		t.Errorf("answers are taken apart as %s, want %s", got, chat.Hermes)
	}
}
