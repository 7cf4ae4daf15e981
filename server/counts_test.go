package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
	"github.com/seed4d217819/ebb/tokenizer"
)

// talk is a conversation as a client sends it: the system prompt, and what user and assistant have said in
// turn.
type talk struct {
	system string
	said   []string
}

// and returns the talk with more said.
func (t talk) and(said ...string) talk {
	return talk{t.system, append(slices.Clip(t.said), said...)}
}

// tokensOf returns the prompt of the talk, as the template of tiny models writes it.
func (r *running) tokensOf(t talk) []int32 {
	r.t.Helper()
	text := "<s>system " + t.system + "</s>"
	for i, said := range t.said {
		text += "<s>" + []string{"user", "assistant"}[i%2] + " " + said + "</s>"
	}
	return r.tokenize(text + "<s>assistant ")
}

func (r *running) tokenize(text string) []int32 {
	r.t.Helper()
	tokens, err := r.tiny.Tokenizer().Encode(text, tokenizer.Options{ParseSpecial: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return tokens
}

// alike returns how many tokens two prompts begin with alike.
func alike(a, b []int32) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// messages returns what is said as messages, behind the system prompt if it is one of them.
func (t talk) messages(withSystem bool) (messages []map[string]string) {
	if withSystem {
		messages = append(messages, map[string]string{"role": "system", "content": t.system})
	}
	for i, said := range t.said {
		messages = append(messages, map[string]string{"role": []string{"user", "assistant"}[i%2], "content": said})
	}
	return messages
}

// counting is an API that says how many tokens of a prompt were there.
type counting struct {
	path string
	body func(t talk, previous string) map[string]any // previous is the response that the talk continues, if any
}

// countings are the APIs, and OpenAI's responses twice: with the whole talk, and with the response that it
// continues.
var countings = map[string]counting{
	"chat": {"/v1/chat/completions", func(t talk, _ string) map[string]any {
		return map[string]any{"messages": t.messages(true), "max_tokens": 9}
	}},
	"responses": {"/v1/responses", func(t talk, _ string) map[string]any {
		return map[string]any{"instructions": t.system, "input": t.messages(false), "max_output_tokens": 9}
	}},
	"responses by id": {"/v1/responses", func(t talk, previous string) map[string]any {
		body := map[string]any{"instructions": t.system, "input": t.messages(false), "max_output_tokens": 9}
		if previous != "" {
			body["previous_response_id"], body["input"] = previous, t.said[len(t.said)-1]
		}
		return body
	}},
	"messages": {"/v1/messages", func(t talk, _ string) map[string]any {
		return map[string]any{"system": t.system, "messages": t.messages(false), "max_tokens": 9}
	}},
	"ollama": {"/api/chat", func(t talk, _ string) map[string]any {
		return map[string]any{"messages": t.messages(true), "options": map[string]any{"num_predict": 9}}
	}},
}

// spent is what an answer says that it has taken, in the words of any API.
type spent struct {
	ID    string
	Usage struct {
		Prompt  int `json:"prompt_tokens"`
		Details struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		Input        int `json:"input_tokens"`
		InputDetails struct {
			Cached int `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		Read int `json:"cache_read_input_tokens"` // beside Input
	}
	Evaluated int `json:"prompt_eval_count"`
	Cached    int `json:"cached_prompt_tokens"`
}

func (s spent) prompt() int { return s.Usage.Prompt + s.Usage.Input + s.Usage.Read + s.Evaluated }
func (s spent) cached() int {
	return s.Usage.Details.Cached + s.Usage.InputDetails.Cached + s.Usage.Read + s.Cached
}

// reply is what the model of these tests answers. Its tokens are computed, and its end is not.
const reply = "yes"

// startReplying starts a server whose model answers [reply].
func startReplying(t *testing.T, model string, engine ebb.Options, o service.Options, server Options) *running {
	t.Helper()
	return startWith(t, model, engine, o, server, func(l *tiny) Loaded {
		return &scripted{l, &servicetest.Script{Answerer: l.Service, Answers: func(service.Request) string { return reply }}}
	})
}

// ask sends a talk, and returns what its answer has taken: one that is written whole, or event by event.
func (r *running) ask(ctx context.Context, api counting, t talk, previous string, streamed bool) (s spent, err error) {
	body := api.body(t, previous)
	body["stream"], body["stream_options"] = streamed, map[string]any{"include_usage": true}
	response, err := r.post(ctx, "one", api.path, object(body))
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return s, err
	}
	if response.StatusCode != http.StatusOK {
		return s, errors.New(response.Status + string(data))
	}
	if !streamed {
		return s, json.Unmarshal(data, &s)
	}
	for line := range bytes.Lines(data) {
		var event struct {
			spent
			Response, Message spent // what began or ended
		}
		if line = bytes.TrimPrefix(line, []byte("data: ")); line[0] != '{' {
			continue
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return s, err
		}
		for _, of := range []spent{event.spent, event.Response, event.Message} {
			if of.prompt() > 0 { // the last one says it all
				s = of
			}
		}
	}
	return s, nil
}

// A conversation, the request for its title, a sub-agent whose system prompt begins alike, the conversation's
// next turn, an edit, and after a restart what goes on and what parts from it: each answer says to the token
// what was there, and the steps have computed the rest.
func TestEachAPICountsToTheToken(t *testing.T) {
	model := servicetest.WriteModel(t)
	for name, api := range countings {
		t.Run(name, func(t *testing.T) {
			dir, folder := t.TempDir(), t.TempDir()
			var r *running
			begin := func() {
				r = startReplying(t, model, ebb.Options{Context: 2048}, service.Options{CacheDir: dir, CacheBytes: 1 << 30},
					Options{Keys: []Key{NewKey("one")}, Responses: folder})
			}
			// turn asks for an answer to a prompt of which some tokens are there. There are then those of
			// the prompt and of the answer.
			streamed := false // every other answer is
			turn := func(what string, asked talk, previous string, cached int) (id string, there int) {
				t.Helper()
				before := r.tokens.Load()
				streamed = !streamed
				s, err := r.ask(t.Context(), api, asked, previous, streamed)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				size, said := len(r.tokensOf(asked)), len(r.tokenize(reply))
				if s.prompt() != size || s.cached() != cached {
					t.Errorf("%s: of %d tokens %d were there; want %d of %d", what, s.prompt(), s.cached(), cached, size)
				}
				if computed := int(r.tokens.Load() - before); computed != size-cached+said {
					t.Errorf("%s: steps have computed %d tokens; want %d", what, computed, size-cached+said)
				}
				return s.ID, size + said
			}
			begin()
			system := words(1, 300)
			one := talk{system, []string{words(2, 100)}}
			first, there := turn("a first turn", one, "", 0)
			turn("a title", talk{"Write a title.", one.said}, "", 0) // fewer than 16 tokens are alike
			turn("a title behind the conversation", one.and(reply, "A title for this?"), "", there)
			agent := talk{system[:40] + "? You are a sub-agent.", []string{words(3, 50)}}
			_, agentThere := turn("a sub-agent", agent, "", len(r.tokenize("<s>system "+system[:40])))
			two := one.and(reply, "short, and then "+words(4, 60))
			second, twoThere := turn("the next turn", two, first, there+len(r.tokenize("</s><s>user ")))
			edit := one.and(reply, "short, and now "+words(5, 30))
			parts := alike(r.tokensOf(two), r.tokensOf(edit))
			_, editThere := turn("an edit", edit, first, parts)
			turn("the edit again", edit, first, len(r.tokensOf(edit))-1)
			three := two.and(reply, words(6, 80))
			third, there := turn("the turn after that", three, second, twoThere)
			eventually(t, func() bool { s := r.tiny.Stats(); return s.Requests == 0 && s.Conversations.Waiting == 0 }, "conversations are not written")
			r.close()

			begin()
			other := one.and(reply, "short, and no "+words(8, 30))
			turn("another edit after a restart", other, first, alike(r.tokensOf(edit), r.tokensOf(other)))
			turn("another sub-agent after it", talk{system[:60] + "? You are another.", agent.said}, "", len(r.tokenize("<s>system "+system[:60])))
			four := three.and(reply, words(7, 10))
			fourth, there := turn("the turn after it", four, third, there)
			turn("the sub-agent after it", agent.and(reply, "more"), "", agentThere)
			turn("the edit after it", edit.and(reply, "more"), "", editThere)
			turn("and another turn", four.and(reply, "so"), fourth, there)
			if stats := r.tiny.Stats().Conversations; stats.Damaged != 0 || stats.Restored != 4 || stats.Forked != 1 || stats.Continued != 1 {
				t.Errorf("%+v; want 4 prompts that went on from files, one that did from the middle of what they had read, and one from its end", stats)
			}
			r.close()
		})
	}
}

// A request that is cancelled while its prompt is computed leaves the passes, and of a prompt that is sent
// twice at once the beginning is computed once: the steps compute each token once.
func TestEachAPIComputesAPromptOnce(t *testing.T) {
	model := servicetest.WriteModel(t)
	for name, api := range countings {
		t.Run(name, func(t *testing.T) {
			r := startReplying(t, model, ebb.Options{Context: 2048, StepTokens: 64}, service.Options{}, Options{})
			defer r.close()
			long := talk{words(1, 500), []string{words(2, 400)}}
			size, said := len(r.tokensOf(long)), len(r.tokenize(reply))
			ctx, cancel := context.WithCancel(t.Context())
			h := r.holdAt(200)
			goOn := sync.OnceFunc(func() { close(h.let) })
			defer goOn()
			go func() {
				<-h.held
				cancel() // the handler does not wait for the step
			}()
			if _, err := r.ask(ctx, api, long, "", true); !errors.Is(err, context.Canceled) {
				t.Fatalf("a cancelled request: %v", err)
			}
			eventually(t, func() bool { return r.server.state.count() == 0 }, "the handler of a cancelled request goes on")
			goOn()
			eventually(t, func() bool { return r.tiny.Stats().Requests == 0 }, "a cancelled request is computed")
			done := int(r.tokens.Load())
			s, err := r.ask(t.Context(), api, long, "", false)
			if err != nil {
				t.Fatal(err)
			}
			if done >= size/2 || s.cached() != done || int(r.tokens.Load()) != size+said {
				t.Errorf("a cancelled prompt of %d tokens: steps have computed %d of it, %d were there then, and in the end %d were computed; want %d",
					size, done, s.cached(), r.tokens.Load(), size+said)
			}

			before := r.tokens.Load()
			twin := talk{words(3, 500), []string{words(4, 400)}}
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					if _, err := r.ask(t.Context(), api, twin, "", false); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
			// The last token of each prompt is its own, and so is the answer.
			if computed, want := int(r.tokens.Load()-before), len(r.tokensOf(twin))+1+2*said; computed != want {
				t.Errorf("the same prompt of %d tokens twice at once: steps have computed %d; want %d", size, computed, want)
			}
		})
	}
}
