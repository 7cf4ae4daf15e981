package service_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

func say(text string) service.Request {
	return service.Request{Chat: &service.Chat{Messages: []chat.Message{{Role: "user", Content: text}}}}
}

func TestAnAnswerIsReadAsMessageAndEvents(t *testing.T) {
	s := &servicetest.Script{
		Answerer: servicetest.Open(t, ebb.Options{}, service.Options{}),
		Answers: func(service.Request) string {
			return `<think>hm</think>It is warm.<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>`
		},
	}
	r := say("How is the weather?")
	tools, err := chat.ParseTools([]byte(`[{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	r.Chat.Tools = tools
	a, err := s.Answer(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	texts, err := a.Texts(t.Context())
	if err != nil || len(texts) != 1 {
		t.Fatalf("%d texts, %v", len(texts), err)
	}
	m := texts[0].Message
	if m.Content != "It is warm." || m.Reasoning != "hm" || len(m.ToolCalls) != 1 || m.ToolCalls[0].Name != "f" || texts[0].Finish != generate.EndToken {
		t.Errorf("the answer is read as %+v, finish %v", m, texts[0].Finish)
	}
	if u := a.Usage(); u.Prompt == 0 || u.New != len(texts[0].Tokens) || u.FirstToken == 0 {
		t.Errorf("usage is %+v, and there are %d tokens", u, len(texts[0].Tokens))
	}
}

func TestWhatIsWrongWithARequestIsAnErrorAtOnce(t *testing.T) {
	s := servicetest.Open(t, ebb.Options{Context: 64}, service.Options{})
	long := say(strings.Repeat("word ", 100))
	var tooLong *service.ContextError
	if _, err := s.Answer(t.Context(), long); !errors.As(err, &tooLong) || tooLong.Context != 64 || tooLong.Tokens <= 64 {
		t.Errorf("a long prompt: %v", err)
	}
	for _, r := range []service.Request{
		{},
		{Prompt: []int32{1}, Grammar: "root := x"},
		{Prompt: []int32{1}, Schema: []byte("[]")},
		{Prompt: []int32{1}, Config: ebb.GenerationConfig{NumBeams: -1}},
		say("refuse me"),
	} {
		var wrong *service.RequestError
		if _, err := s.Answer(t.Context(), r); !errors.As(err, &wrong) {
			t.Errorf("%+v: %v, want a RequestError", r, err)
		}
	}
}

func TestACancelledAnswerEndsWithItsCause(t *testing.T) {
	s := servicetest.Open(t, ebb.Options{}, service.Options{Queue: 1})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, err := s.Answer(ctx, say("Count."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Answer(t.Context(), say("Another.")); !errors.Is(err, service.ErrBusy) {
		t.Errorf("a second request with a queue of one: %v", err)
	}
	for e, err := range a.Events(t.Context()) {
		if e.Kind == service.Part {
			cancel()
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the answer ended with %v", err)
		}
	}
}

func TestBeatsComeWhileACallIsHeldBack(t *testing.T) {
	s := &servicetest.Script{
		Answerer: servicetest.Open(t, ebb.Options{}, service.Options{Beat: time.Microsecond}),
		Answers: func(service.Request) string {
			return `<tool_call>{"name": "f", "arguments": {"x": "` + strings.Repeat("word ", 50) + `"}}</tool_call>`
		},
	}
	a, err := s.Answer(t.Context(), say("Call."))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	begun, beats := false, 0
	for e, err := range a.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		begun = begun || e.Kind == service.Part && e.Part.Kind == chat.CallBegin
		if e.Kind == service.Beat && begun {
			beats++
		}
		if e.Kind == service.Part && e.Part.Kind == chat.CallEnd {
			begun = false
		}
	}
	if beats == 0 {
		t.Error("no beat came between a call's name and its end")
	}
}

func TestAnAnswerGoesOnBehindItsGivenBeginning(t *testing.T) {
	s := &servicetest.Script{
		Answerer: servicetest.Open(t, ebb.Options{}, service.Options{}),
		Answers:  func(service.Request) string { return ` more</think>The answer.` },
	}
	r := say("Think.")
	r.Chat.Messages = append(r.Chat.Messages, chat.Message{Role: "assistant", Content: "<think>One"})
	r.Chat.Continue = true
	text, err := s.Render(r.Chat)
	if err != nil || !strings.HasSuffix(text, "<s>assistant <think>One") {
		t.Errorf("the prompt is %q, %v", text, err)
	}
	a, err := s.Answer(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	texts, err := a.Texts(t.Context())
	if err != nil || len(texts) != 1 || texts[0].Message.Reasoning != " more" || texts[0].Message.Content != "The answer." {
		t.Errorf("the answer is %+v, %v", texts, err)
	}
	r.Chat.Messages = r.Chat.Messages[:1]
	var wrong *service.RequestError
	if _, err := s.Answer(t.Context(), r); !errors.As(err, &wrong) || wrong.Field != "messages" {
		t.Errorf("continuing the user's message: %v, want a RequestError", err)
	}
}

func TestAnAnswerThatFillsTheContextEndsByItsLength(t *testing.T) {
	s := servicetest.Open(t, ebb.Options{Context: 64}, service.Options{})
	r := service.Request{Prompt: []int32{1, 2, 3}, Config: ebb.GenerationConfig{MaxNewTokens: 1000, EOSTokenID: ebb.TokenIDs{}}}
	a, err := s.Answer(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	texts, err := a.Texts(t.Context())
	if err != nil || len(texts) != 1 || len(texts[0].Tokens) != 62 || texts[0].Finish != generate.LengthLimit {
		t.Errorf("%d texts, %v; want one of 62 tokens that its length has ended", len(texts), err)
	}
}
