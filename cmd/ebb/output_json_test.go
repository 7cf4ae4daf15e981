package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/sample"
)

func TestJSONKeepsItsNames(t *testing.T) {
	a := &answer{
		sequences: []ebb.Completion{{IDs: []int32{3, 4, 5}, Text: "a<b", Score: -1.25, Finish: generate.StopString}},
		measured:  measured{texts: 1, tokens: 3, prefilled: 6, firstToken: 2 * time.Second, decode: 4 * time.Second},
		logits:    [][]float32{{0.1, float32(math.Inf(-1)), 1e-10}, {float32(math.NaN()), float32(math.Inf(1)), -3}},
	}
	s := kv.Stats{
		Policy: kv.OffloadedStatic, DeviceBytesPeak: 1, HostBytes: 2, FetchedBytes: 3, StoredBytes: 4, Stall: 5 * time.Millisecond,
		ResidentLayers: 6, StreamedLayers: 7,
	}
	const want = `{"sequences":[{"ids":[3,4,5],"text":"a<b","score":-1.25,"beam_indices":[],"finish":"stop string"}],` +
		`"logits":[[0.1,null,1e-10],["nan","inf",-3]],` +
		`"timings":{"prefill_tokens_per_second":3,"decode_tokens_per_second":0.5,"time_to_first_token_seconds":2},` +
		`"cache":{"policy":"offloaded_static","device_bytes_peak":1,"host_bytes":2,"fetched_bytes":3,"stored_bytes":4,` +
		`"stall_seconds":0.005,"resident_layers":6,"streamed_layers":7},"instruction_set":"avx2","error":"it was late"}` + "\n"
	var got bytes.Buffer
	if err := printJSON(&got, a, ebb.Stats{Cache: s, Devices: []ebb.DeviceStats{{Name: "vulkan0"}, {Name: "cpu", ISA: isa.AVX2}}}, nil, errors.New("it was late")); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got  %swant %s", got.String(), want)
	}
}

func TestJSONOfNothingIsValid(t *testing.T) {
	var got bytes.Buffer
	if err := printJSON(&got, &answer{}, ebb.Stats{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	var out output
	if err := json.Unmarshal(got.Bytes(), &out); err != nil || out.Sequences[0].IDs == nil {
		t.Errorf("%s: %v, want ids to be an empty list", got.String(), err)
	}
}

func TestJSONOfBeamsHasTheirIndicesAndCandidates(t *testing.T) {
	a := &answer{sequences: []ebb.Completion{
		{
			IDs: []int32{3}, Text: "d", Score: -0.5, BeamIndices: []int32{0}, Finish: generate.LengthLimit,
			Tokens: []generate.Token{{ID: 3, LogProb: -0.5, Top: []sample.Candidate{{ID: 3, LogProb: -0.25}, {ID: 1, LogProb: -2}}}},
		},
		{IDs: []int32{4}, Text: "e", Score: -0.75, BeamIndices: []int32{1}, Tokens: []generate.Token{{ID: 4, LogProb: -0.75}}, Finish: generate.EndToken},
	}}
	const want = `{"sequences":[{"ids":[3],"text":"d","score":-0.5,"beam_indices":[0],"finish":"length","tokens":[{"id":3,"text":"d","logprob":-0.5,` +
		`"top":[{"id":3,"text":"d","logprob":-0.25},{"id":1,"text":"b","logprob":-2}]}]},` +
		`{"ids":[4],"text":"e","score":-0.75,"beam_indices":[1],"finish":"end token"}],`
	var got bytes.Buffer
	letter := func(id int32) string { return string('a' + id) }
	if err := printJSON(&got, a, ebb.Stats{}, letter, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.String(), want) {
		t.Errorf("got  %swant %s", got.String(), want)
	}
}

func TestJSONHasReasoningContentAndToolCallsApart(t *testing.T) {
	a := &answer{
		sequences: []ebb.Completion{{IDs: []int32{3}, Text: "<think>Hm.</think>", Finish: generate.EndToken}, {IDs: []int32{4}, Text: "b", Finish: generate.LengthLimit}},
		messages: []chat.Message{
			{Role: "assistant", Reasoning: "Hm.", ToolCalls: []chat.ToolCall{{ID: "call00000", Name: "get_weather", Arguments: `{"city": "<Rome>"}`}}},
			{Role: "assistant", Content: "b"},
		},
	}
	const want = `{"sequences":[{"ids":[3],"text":"<think>Hm.</think>","content":"","reasoning":"Hm.",` +
		`"tool_calls":[{"id":"call00000","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"<Rome>\"}"}}],` +
		`"score":0,"beam_indices":[],"finish":"end token"},{"ids":[4],"text":"b","content":"b","score":0,"beam_indices":[],"finish":"length"}],`
	var got bytes.Buffer
	if err := printJSON(&got, a, ebb.Stats{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(got.String(), want) {
		t.Errorf("got  %swant %s", got.String(), want)
	}
}
