package openai_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/service"
)

const hi = `"messages": [{"role": "user", "content": "hi"}]`

func TestWhatIsWrongIsToldWithItsField(t *testing.T) {
	server, script := serve(t, answer, service.Options{})
	for _, tt := range []struct{ path, body, param, want string }{
		{"chat/completions", `{`, "", "not JSON"},
		{"chat/completions", `{}`, "messages", "messages is empty"},
		{"chat/completions", `{"messages": [5]}`, "messages[0]", "messages[0] is a number: want an object"},
		{"chat/completions", `{"messages": [{"content": "x"}]}`, "messages", "messages[0] has no role"},
		{"chat/completions", `{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}`, "messages[0]", `is of type "image_url", which is not offered`},
		{"chat/completions", `{"messages": [{"role": "user", "content": "refuse me"}]}`, "messages", "not that"},
		{"chat/completions", `{"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]}`, "messages[0]", "a tool call has no name"},
		{"chat/completions", `{` + hi + `, "temperature": "hot"}`, "temperature", "temperature is a string: want a number"},
		{"chat/completions", `{` + hi + `, "temperature": -1}`, "temperature", "temperature is -1: want a number above 0"},
		{"chat/completions", `{` + hi + `, "top_p": 1.5}`, "top_p", "top_p is 1.5"},
		{"chat/completions", `{` + hi + `, "presence_penalty": 3}`, "presence_penalty", "want a number from -2 to 2"},
		{"chat/completions", `{` + hi + `, "max_tokens": 0}`, "max_tokens", "max_tokens is 0: want at least 1"},
		{"chat/completions", `{` + hi + `, "max_tokens": 5, "max_completion_tokens": 6}`, "max_tokens", "two names of one limit"},
		{"chat/completions", `{` + hi + `, "n": 0}`, "n", "n is 0"},
		{"chat/completions", `{` + hi + `, "n": 2, "temperature": 0}`, "n", "temperature 0 finds the most probable text alone"},
		{"chat/completions", `{` + hi + `, "stop": 5}`, "stop", "want a string or a list of strings"},
		{"chat/completions", `{` + hi + `, "logit_bias": {"x": 1}}`, "logit_bias", "want an object of token ids"},
		{"chat/completions", `{` + hi + `, "logit_bias": {"5": 101}}`, "logit_bias", "from -100 to 100"},
		{"chat/completions", `{` + hi + `, "logit_bias": {"5000": 1}}`, "logit_bias", "the model has the tokens 0 to 263"},
		{"chat/completions", `{` + hi + `, "logprobs": true, "top_logprobs": 21}`, "top_logprobs", "from 0 to 20"},
		{"chat/completions", `{` + hi + `, "top_logprobs": 2}`, "top_logprobs", "logprobs is not true"},
		{"chat/completions", `{` + hi + `, "tools": [{"type": "web_search"}]}`, "tools[0]", "a tool has no function"},
		{"chat/completions", `{` + hi + `, "tool_choice": "always", ` + tools + `}`, "tool_choice", `tool_choice is "always": want`},
		{"chat/completions", `{` + hi + `, "tool_choice": {"type": "function", "function": {"name": "g"}}, ` + tools + `}`, "tool_choice", "not among tools"},
		{"chat/completions", `{` + hi + `, "tool_choice": "required"}`, "tool_choice", "there are no tools"},
		{"chat/completions", `{` + hi + `, "tool_choice": "required", "grammar": "root ::= \"a\"", ` + tools + `}`, "tool_choice", "an answer is one of both"},
		{"chat/completions", `{` + hi + `, "response_format": {"type": "xml"}}`, "response_format", `response_format.type is "xml"`},
		{"chat/completions", `{` + hi + `, "response_format": {"type": "json_schema"}}`, "response_format", "no json_schema.schema"},
		{"chat/completions", `{` + hi + `, "response_format": {"type": "json_object"}, "grammar": "root ::= \"a\""}`, "grammar", "follows one of them"},
		{"chat/completions", `{` + hi + `, "response_format": {"type": "json_schema", "json_schema": {"schema": []}}}`, "response_format", ""},
		{"chat/completions", `{` + hi + `, "grammar": "root := x"}`, "grammar", ""},
		{"chat/completions", `{` + hi + `, "functions": [{"name": "f"}]}`, "functions", "want tools"},
		{"chat/completions", `{` + hi + `, "modalities": ["text", "audio"]}`, "modalities", "only text"},
		{"chat/completions", `{` + hi + `, "continue_final_message": true}`, "continue_final_message", "not the assistant's"},
		{"chat/completions", `{` + hi + `, "num_beams": 0}`, "num_beams", "from 1 to 128"},
		{"chat/completions", `{` + hi + `, "num_beams": 100000}`, "num_beams", "from 1 to 128"},
		{"chat/completions", `{` + hi + `, "num_beams": 4, "num_beam_groups": 3}`, "num_beams", ""},
		{"chat/completions", `{` + hi + `, "chat_template_kwargs": 5}`, "chat_template_kwargs", "want an object"},
		{"completions", `{}`, "prompt", "there is no prompt"},
		{"completions", `{"prompt": 5}`, "prompt", "want a string, a list of strings, a list of token ids"},
		{"completions", `{"prompt": ""}`, "prompt", "prompt is empty"},
		{"completions", `{"prompt": ["a", ""]}`, "prompt", "prompt[1] is empty"},
		{"completions", `{"prompt": [[1], [264]]}`, "prompt", "prompt[1] has the token 264: the model has the tokens 0 to 263"},
		{"completions", `{"prompt": [-1]}`, "prompt", "prompt has the token -1"},
		{"completions", `{"prompt": "a", "suffix": "b"}`, "suffix", "suffix is not offered"},
		{"completions", `{"prompt": "a", "best_of": 3}`, "best_of", "best_of is 3 and n 1"},
		{"completions", `{"prompt": "a", "logprobs": -1}`, "logprobs", "from 0 to 20"},
		{"completions", `{"prompt": "a", "max_tokens": -2}`, "max_tokens", "want at least 0"},
	} {
		var got struct {
			Error struct {
				Message, Type string
				Param         *string
			}
		}
		status := post(t, server, "/v1/"+tt.path, tt.body, &got)
		e := got.Error
		if status != http.StatusBadRequest || e.Type != "invalid_request_error" || !strings.Contains(e.Message, tt.want) ||
			(e.Param == nil) != (tt.param == "") || e.Param != nil && *e.Param != tt.param {
			t.Errorf("%s: %d, param %s: %s", tt.body, status, text(e.Param), e.Message)
		}
	}
	for _, r := range script.Requests() {
		if r.Config.NumBeams == 1 && r.Chat != nil && r.Chat.Messages[0].Content == "hi" && r.Grammar == "" && r.Schema == nil && r.Config.Validate() == nil {
			t.Errorf("a bad body was answered: %+v", r)
		}
	}
}

func text(p *string) string {
	if p == nil {
		return "null"
	}
	return *p
}

func TestAPromptThatIsTooLongIsToldInWordsThatProgramsKnow(t *testing.T) {
	server, _ := serve(t, "", service.Options{})
	status, got := do(t, server, http.MethodPost, "/v1/chat/completions", `{"messages": [{"role": "user", "content": "`+strings.Repeat("long ", 200)+`"}]}`)
	want := `{"error":{"message":"prompt is too long: 1018 tokens > 512 maximum; this model's maximum context length is 512 tokens",` +
		`"type":"invalid_request_error","param":null,"code":"context_length_exceeded","n_prompt_tokens":1018,"n_ctx":512}}`
	if diff := cmp.Diff(strings.TrimSpace(got), want); status != http.StatusBadRequest || diff != "" {
		t.Errorf("%d (-got +want):\n%s", status, diff)
	}
}

func TestStopStringsHaveBounds(t *testing.T) {
	server, _ := serve(t, answer, service.Options{})
	for stops, want := range map[string]string{
		`["` + strings.Repeat(`x", "`, 64) + `"]`: "there are 65 strings that end the text: want at most 64",
		`["a", ""]`:                           "a string that ends the text is empty",
		`"` + strings.Repeat("x", 1025) + `"`: "a string that ends the text has 1025 bytes: want at most 1024",
	} {
		if status, got := do(t, server, http.MethodPost, "/v1/chat/completions", `{`+hi+`, "stop": `+stops+`}`); status != http.StatusBadRequest || !strings.Contains(got, want) || !strings.Contains(got, `"param":"stop"`) {
			t.Errorf("%d %s", status, got)
		}
	}
}

func TestTextsOfOneRequestEndWhereTheContextDoes(t *testing.T) {
	server, _ := serve(t, "", service.Options{})
	for _, body := range []string{
		`{` + hi + `, "n": 10, "ignore_eos": true}`, `{` + hi + `, "n": 2, "ignore_eos": true, "max_tokens": 500}`,
		`{` + hi + `, "n": 2, "num_beams": 5, "ignore_eos": true}`,
	} {
		status, got := do(t, server, http.MethodPost, "/v1/chat/completions", body)
		if status != http.StatusOK || strings.Count(got, `"finish_reason":"length"`) < 2 {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
}

func TestFieldsReachTheSearch(t *testing.T) {
	server, script := serve(t, "yes", service.Options{})
	// What a field does is read from the request as JSON, of which only a part is compared.
	for _, tt := range []struct{ path, body, config string }{
		{"chat/completions", `{` + hi + `}`, `{"do_sample": true, "top_k": 0, "num_beams": 1}`},
		{"chat/completions", `{` + hi + `, "temperature": 0, "seed": 5}`, `{"do_sample": null, "seed": null}`},
		{
			"chat/completions", `{` + hi + `, "temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "typical_p": 0.8, "seed": -2}`,
			`{"temperature": 0.5, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "typical_p": 0.8, "seed": 18446744073709551614}`,
		},
		{"chat/completions", `{` + hi + `, "seed": -1, "top_k": -1, "max_tokens": -1}`, `{"seed": null, "top_k": 0, "max_new_tokens": null}`},
		{"chat/completions", `{` + hi + `, "max_completion_tokens": 7, "max_tokens": 7, "min_tokens": 2}`, `{"max_new_tokens": 7, "min_new_tokens": 2}`},
		{"chat/completions", `{` + hi + `, "max_tokens": 8, "stop": "a", "ignore_eos": true}`, `{"max_new_tokens": 8, "stop_strings": "a", "eos_token_id": []}`},
		{"chat/completions", `{` + hi + `, "stop": ["a", "b"], "logit_bias": {"5": -100}}`, `{"stop_strings": ["a", "b"], "sequence_bias": [[[5], -100]]}`},
		{
			"chat/completions", `{` + hi + `, "presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.1, "repeat_penalty": 3}`,
			`{"presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.1}`,
		},
		{"chat/completions", `{` + hi + `, "repeat_penalty": 1.3, "n": 2}`, `{"repetition_penalty": 1.3, "num_return_sequences": 2}`},
		{"chat/completions", `{` + hi + `, "logprobs": true, "top_logprobs": 3}`, `{"output_scores": true, "raw_logprobs": true, "top_logprobs": 3}`},
		{
			"chat/completions", `{` + hi + `, "num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "length_penalty": 2, "n": 4}`,
			`{"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5, "length_penalty": 2, "do_sample": null, "num_return_sequences": 4}`,
		},
		{"chat/completions", `{` + hi + `, "prompt_lookup_num_tokens": 3}`, `{"prompt_lookup_num_tokens": 3}`},
		{"completions", `{"prompt": "a"}`, `{"max_new_tokens": 16}`},
		{"completions", `{"prompt": "a", "max_tokens": -1}`, `{"max_new_tokens": null}`},
		{"completions", `{"prompt": "a", "max_tokens": 0, "echo": true, "logprobs": 2}`, `{"max_new_tokens": 1, "output_scores": true, "raw_logprobs": true, "top_logprobs": 2}`},
	} {
		if status, got := do(t, server, http.MethodPost, "/v1/"+tt.path, tt.body); status != http.StatusOK {
			t.Errorf("%s: %d %s", tt.body, status, got)
			continue
		}
		all := script.Requests()
		data, err := json.Marshal(all[len(all)-1].Config)
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]json.RawMessage
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(tt.config), &want); err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			field := string(got[name])
			if field == "" {
				field = "null"
			}
			if strings.ReplaceAll(string(value), " ", "") != field {
				t.Errorf("%s: %s is %s, want %s", tt.body, name, field, value)
			}
		}
	}
}

func TestWhatAChatIsReachesTheService(t *testing.T) {
	server, script := serve(t, "yes", service.Options{})
	post(t, server, "/v1/chat/completions", `{
		"messages": [{"role": "developer", "content": "be brief"}, {"role": "user", "content": null},
			{"role": "assistant", "tool_calls": [{"id": "call_ABCDEFGHIJKLMNOPQRSTUVWXYZ_call00003", "function": {"name": "f", "arguments": "{broken"}}]},
			{"role": "tool", "tool_call_id": "call_ABCDEFGHIJKLMNOPQRSTUVWXYZ_call00003", "content": "5"}, {"role": "assistant", "content": "so"}],
		"continue_final_message": true, "add_generation_prompt": false, "tool_choice": "none", `+tools+`,
		"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": false},
		"cache_salt": "s", "prompt_cache_key": "k", "metadata": {"user_id": 5}, "user": "me", "store": true, "service_tier": "auto"}`, new(any))
	r := script.Requests()[0]
	c := r.Chat
	if len(c.Messages) != 5 || c.Messages[2].ToolCalls[0].Arguments != "{broken" || c.Messages[2].ToolCalls[0].ID != "call00003" || c.Messages[3].ToolCallID != "call00003" {
		t.Errorf("messages %+v", c.Messages)
	}
	if !c.Continue || c.Choice.Mode != service.ToolsNone || string(c.Variables) != `{"enable_thinking":false,"reasoning_effort":"low"}` {
		t.Errorf("chat %+v, variables %s", c, c.Variables)
	}
	if r.Salt != "\x00s" || r.Conversation != "k" {
		t.Errorf("salt %q, conversation %q", r.Salt, r.Conversation)
	}
	for body, want := range map[string]string{
		`{` + hi + `, "response_format": {"type": "json_object"}}`:                                                                       `{"type": "object"}`,
		`{` + hi + `, "response_format": {"type": "json_object", "schema": {"type": "array"}}}`:                                          `{"type": "array"}`,
		`{` + hi + `, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": {"const": 1}}}}`: `{"const": 1}`,
		`{` + hi + `, "response_format": {"type": "text"}}`:                                                                              ``,
	} {
		do(t, server, http.MethodPost, "/v1/chat/completions", body)
		all := script.Requests()
		if got := string(all[len(all)-1].Schema); got != want {
			t.Errorf("%s: schema %q, want %q", body, got, want)
		}
	}
	for body, want := range map[string]bool{
		`{` + hi + `}`: false, `{` + hi + `, "prompt_lookup_num_tokens": 3}`: false, `{` + hi + `, "prompt_lookup_num_tokens": null}`: false,
		`{` + hi + `, "prompt_lookup_num_tokens": 0}`: true,
	} {
		do(t, server, http.MethodPost, "/v1/chat/completions", body)
		all := script.Requests()
		if got := all[len(all)-1].NoLookup; got != want {
			t.Errorf("%s: without lookup: %v, want %v", body, got, want)
		}
	}
	for body, want := range map[string]service.ToolChoice{
		`{` + hi + `, "tool_choice": "required", ` + tools + `}`:                                              {Mode: service.ToolsRequired},
		`{` + hi + `, "tool_choice": "required", "parallel_tool_calls": false, ` + tools + `}`:                {Mode: service.ToolsRequired, Single: true},
		`{` + hi + `, "tool_choice": {"type": "function", "function": {"name": "f"}}, "n": 1, ` + tools + `}`: {Mode: service.ToolsRequired, Name: "f"},
	} {
		do(t, server, http.MethodPost, "/v1/chat/completions", body)
		all := script.Requests()
		if got := all[len(all)-1].Chat.Choice; got != want {
			t.Errorf("%s: %+v, want %+v", body, got, want)
		}
	}
}
