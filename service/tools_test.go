package service_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/sample"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// A model with random weights calls what it must, because a grammar has it do so.
func TestRequiredCallsAreMade(t *testing.T) {
	s := servicetest.Open(t, ebb.Options{Context: 512}, service.Options{})
	var tools []chat.Tool
	for _, name := range []string{"first", "second"} {
		tool, err := chat.NewTool(name, "", json.RawMessage(`{"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}`))
		if err != nil {
			t.Fatal(err)
		}
		tools = append(tools, tool)
	}
	for _, choice := range []service.ToolChoice{
		{Mode: service.ToolsRequired, Single: true},
		{Mode: service.ToolsRequired, Name: "second"},
	} {
		r := say("Hi.")
		r.Chat.Tools, r.Chat.Choice = tools, choice
		r.Config.Processors = []sample.Processor{thoughtless(s)}
		a, err := s.Answer(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		texts, err := a.Texts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m := texts[0].Message
		if len(m.ToolCalls) != 1 || m.Content != "" || choice.Name != "" && m.ToolCalls[0].Name != choice.Name || !strings.Contains(m.ToolCalls[0].Arguments, `"n":`) {
			t.Errorf("%+v: the answer is read as %+v", choice, m)
		}
		a.Close()
	}
}

// thoughtless keeps a model with random weights from <think>, which it would not end.
func thoughtless(s *service.Service) sample.Processor {
	return sample.Func(func(_ []int32, scores []float32) error {
		for id := range scores {
			if strings.Contains(s.Tokenizer().Spell(int32(id)), "h") {
				scores[id] -= 1000
			}
		}
		return nil
	})
}

func TestARequiredCallThatCannotBeIsAnErrorAtOnce(t *testing.T) {
	s := servicetest.Open(t, ebb.Options{}, service.Options{})
	tool, err := chat.NewTool("f", "", json.RawMessage(`{"type": "object", "properties": {"n": {"not": {}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	required := service.ToolChoice{Mode: service.ToolsRequired}
	for want, r := range map[string]service.Request{
		"#/properties/n: not is not supported": {Chat: &service.Chat{Tools: []chat.Tool{tool}, Choice: required}},
		"there are no tools to call":           {Chat: &service.Chat{Choice: required}},
		"want one of both":                     {Chat: &service.Chat{Tools: []chat.Tool{tool}, Choice: required}, Schema: []byte("{}")},
		"is the beginning of a text":           {Chat: &service.Chat{Tools: []chat.Tool{tool}, Choice: required, Continue: true}},
	} {
		r.Chat.Messages = []chat.Message{{Role: "user", Content: "Hi."}}
		if r.Chat.Continue {
			r.Chat.Messages = append(r.Chat.Messages, chat.Message{Role: "assistant", Content: "So"})
		}
		var wrong *service.RequestError
		if _, err := s.Answer(t.Context(), r); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want a RequestError with %q", err, want)
		}
	}
}
