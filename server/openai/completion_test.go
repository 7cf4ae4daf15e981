package openai_test

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/service"
)

// completion is a response as clients read it.
type completion struct {
	Choices []struct {
		Index    int
		Text     string
		Finish   string `json:"finish_reason"`
		LogProbs *struct {
			Tokens   []string
			LogProbs []*float64            `json:"token_logprobs"`
			Top      []map[string]*float64 `json:"top_logprobs"`
			Offsets  []int                 `json:"text_offset"`
		}
	}
	Usage struct {
		Prompt int `json:"prompt_tokens"`
		New    int `json:"completion_tokens"`
	}
}

func TestACompletionIsAnswered(t *testing.T) {
	server, _ := serve(t, answer, service.Options{})
	status, got := do(t, server, http.MethodPost, "/v1/completions", `{"prompt": "hi", "max_tokens": 200, "stop": ["tool"]}`)
	want := `{"id":"cmpl","object":"text_completion","created":0,"model":"tiny","choices":[{"index":0,"text":"<think>hm</think>It is <","logprobs":null,"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":2,"completion_tokens":26,"total_tokens":28,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"timings":0}`
	if diff := cmp.Diff(still(got), want); status != http.StatusOK || diff != "" {
		t.Errorf("%d (-got +want):\n%s", status, diff)
	}
}

func TestManyPromptsOfOneRequestWaitForEachOther(t *testing.T) {
	server, _ := serve(t, "yes", service.Options{Queue: 1})
	var got completion
	if status := post(t, server, "/v1/completions", `{"prompt": [[1], [2], [3, 4], [5], [6], [7]], "echo": true, "n": 2}`, &got); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	texts := []string{"\x01yes", "\x01yes", "\x02yes", "\x02yes", "\x03\x04yes", "\x03\x04yes", "\x05yes", "\x05yes", "\x06yes", "\x06yes", "\x07yes", "\x07yes"}
	for i, c := range got.Choices {
		if c.Index != i || c.Text != texts[i] || c.Finish != "stop" {
			t.Errorf("choice %d is %+v, want %q", i, c, texts[i])
		}
	}
	if len(got.Choices) != len(texts) || got.Usage.Prompt != 7 {
		t.Errorf("%d choices, usage %+v", len(got.Choices), got.Usage)
	}
}

// A prompt's tokens are as probable when they are echoed as when they are generated after the same
// beginning: one token at a time, by an answer that a test has written.
func TestEchoedTokensHaveTheProbabilitiesOfGeneratedOnes(t *testing.T) {
	const whole = "It is warm, té."
	server, _ := serve(t, whole[1:], service.Options{})
	var generated, echoed, alone completion
	post(t, server, "/v1/completions", `{"prompt": "I", "max_tokens": 200, "logprobs": 3}`, &generated)
	post(t, server, "/v1/completions", `{"prompt": "`+whole+`", "max_tokens": 1, "logprobs": 3, "echo": true}`, &echoed)
	post(t, server, "/v1/completions", `{"prompt": ["`+whole+`"], "max_tokens": 0, "logprobs": 3, "echo": true}`, &alone)
	g, e, a := generated.Choices[0], echoed.Choices[0], alone.Choices[0]
	n := len(a.LogProbs.Tokens)
	if a.Text != whole || a.Finish != "length" || alone.Usage.New != 0 || e.Text[:len(whole)] != whole || len(e.LogProbs.Tokens) != n+1 || echoed.Usage.New != 1 {
		t.Errorf("echoes %+v %+v", e, a)
	}
	if len(g.LogProbs.Tokens) != n { // without the first one, and with the end token
		t.Fatalf("%d tokens generated, %d echoed", len(g.LogProbs.Tokens), n)
	}
	if a.LogProbs.LogProbs[0] != nil || a.LogProbs.Top[0] != nil {
		t.Error("the first token has a probability")
	}
	offset := 0
	for i := 1; i < n; i++ {
		if want := *g.LogProbs.LogProbs[i-1]; *a.LogProbs.LogProbs[i] != want || *e.LogProbs.LogProbs[i] != want || a.LogProbs.Tokens[i] != g.LogProbs.Tokens[i-1] {
			t.Errorf("token %d %q: echoed %v and %v, generated %v", i, a.LogProbs.Tokens[i], *a.LogProbs.LogProbs[i], *e.LogProbs.LogProbs[i], want)
		}
		top := a.LogProbs.Top[i]
		own, best := top[a.LogProbs.Tokens[i]], math.Inf(-1)
		for _, p := range top {
			best = max(best, *p)
		}
		if own == nil || *own != *a.LogProbs.LogProbs[i] || len(top) < 3 || len(top) > 4 || best < *own {
			t.Errorf("token %d: the likeliest are %v", i, top)
		}
		if a.LogProbs.Offsets[i] < offset {
			t.Errorf("offsets %v", a.LogProbs.Offsets)
		}
		offset = a.LogProbs.Offsets[i]
	}
	if !slices.Contains(a.LogProbs.Tokens, `bytes:\xc3`) || offset != len([]rune(whole))-1 {
		t.Errorf("tokens %q at %v", a.LogProbs.Tokens, a.LogProbs.Offsets)
	}
}

func TestCompletionsAreStreamed(t *testing.T) {
	server, _ := serve(t, "yes", service.Options{})
	_, got := do(t, server, http.MethodPost, "/v1/completions",
		`{"prompt": ["a", "b"], "echo": true, "logprobs": 0, "stream": true, "stream_options": {"include_usage": true}}`)
	lines := events(t, got)
	texts, tokens, finishes, usage := map[int]string{}, map[int]string{}, map[int]string{}, 0
	for _, line := range lines[:len(lines)-1] {
		var chunk completion
		if err := json.Unmarshal([]byte(line), &chunk); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if len(chunk.Choices) == 0 {
			usage++
			if chunk.Usage.New != 8 || chunk.Usage.Prompt != 2 {
				t.Errorf("usage %+v", chunk.Usage)
			}
			continue
		}
		c := chunk.Choices[0]
		texts[c.Index] += c.Text
		finishes[c.Index] += c.Finish
		if c.LogProbs != nil {
			tokens[c.Index] += strings.Join(c.LogProbs.Tokens, ",") + ","
		}
	}
	if diff := cmp.Diff(texts, map[int]string{0: "ayes", 1: "byes"}) + cmp.Diff(finishes, map[int]string{0: "stop", 1: "stop"}) +
		cmp.Diff(tokens, map[int]string{0: "a,y,e,s,</s>,", 1: "b,y,e,s,</s>,"}); diff != "" || usage != 1 || lines[len(lines)-1] != "[DONE]" {
		t.Errorf("%d usages (-got +want):\n%s", usage, diff)
	}
}
