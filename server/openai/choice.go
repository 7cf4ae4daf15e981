package openai

import (
	"time"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/service"
)

// choice is one text of an answer, as it is told so far.
type choice struct {
	calls  int
	done   bool
	finish generate.Finish
}

// add counts an event of the text.
func (c *choice) add(e service.Event) {
	if e.Kind == service.Finished {
		c.done, c.finish = true, e.Finish
		return
	}
	if e.Part.Kind == chat.CallEnd {
		c.calls++
	}
}

// reason returns why the text has ended, in OpenAI's words.
func (c *choice) reason() string {
	if c.calls > 0 && !isCut(c.finish) {
		return "tool_calls"
	}
	return reasonOf(c.finish)
}

// isCut reports whether a text was ended before its end.
func isCut(f generate.Finish) bool { return f == generate.LengthLimit || f == generate.TimeLimit }

func reasonOf(f generate.Finish) string {
	if isCut(f) {
		return "length"
	}
	return "stop"
}

// usage says what a request has taken.
type usage struct {
	Prompt        int `json:"prompt_tokens"`
	New           int `json:"completion_tokens"`
	Total         int `json:"total_tokens"`
	PromptDetails struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	NewDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// add adds what an answer has taken.
func (u *usage) add(of service.Usage) {
	u.Prompt += of.Prompt
	u.New += of.New
	u.Total = u.Prompt + u.New
	u.PromptDetails.Cached += of.Cached
	u.NewDetails.Reasoning += of.Reasoning
}

// timings are llama-server's: tokens and milliseconds of the prompt and of what follows.
type timings struct {
	Cached    int     `json:"cache_n"`
	Prompt    int     `json:"prompt_n"` // those that were computed
	PromptMS  float64 `json:"prompt_ms"`
	PromptPer float64 `json:"prompt_per_second"`
	New       int     `json:"predicted_n"`
	NewMS     float64 `json:"predicted_ms"`
	NewPer    float64 `json:"predicted_per_second"`
}

// timingsOf returns the timings of an answer that has taken so long. Waiting for the first token counts
// as the prompt's, and reading the answer as nobody's.
func timingsOf(u service.Usage, took time.Duration) *timings {
	first := u.FirstToken
	if first == 0 {
		first = took
	}
	t := &timings{Cached: u.Cached, Prompt: u.Prompt - u.Cached, PromptMS: milliseconds(first), New: u.New, NewMS: milliseconds(u.LastToken - u.FirstToken)}
	t.PromptPer, t.NewPer = perSecond(t.Prompt, t.PromptMS), perSecond(max(t.New-1, 0), t.NewMS)
	return t
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func perSecond(n int, ms float64) float64 {
	if ms <= 0 {
		return 0
	}
	return float64(n) * 1e3 / ms
}
