package chat

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const chatML = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestSmolLM2ChatsRenderAsInTransformers(t *testing.T) {
	var golden struct {
		Template string
		Cases    []struct {
			Messages            []Message
			AddGenerationPrompt bool `json:"add_generation_prompt"`
			Text                string
		}
	}
	readJSON(t, "../testdata/cases/chat_smollm2.json", &golden)
	tmpl, err := New(golden.Template, Vars{BOS: "<|im_start|>", EOS: "<|im_end|>"})
	if err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) == 0 {
		t.Fatal("no cases")
	}
	for _, tc := range golden.Cases {
		got, err := tmpl.Render(tc.Messages, RenderOptions{AddGenerationPrompt: tc.AddGenerationPrompt})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tc.Text, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tc.Messages, diff)
		}
	}
}

// The file holds what Jinja itself makes of the templates, most of them about white space.
func TestTemplatesRenderAsInJinja(t *testing.T) {
	var golden struct {
		BOS      string `json:"bos_token"`
		EOS      string `json:"eos_token"`
		Messages []Message
		Cases    []struct {
			Template string
			Text     string
			Error    bool
		}
	}
	readJSON(t, "testdata/jinja.json", &golden)
	if len(golden.Cases) == 0 {
		t.Fatal("no cases")
	}
	for _, tc := range golden.Cases {
		var got string
		tmpl, err := New(tc.Template, Vars{BOS: golden.BOS, EOS: golden.EOS})
		if err == nil {
			got, err = tmpl.Render(golden.Messages, RenderOptions{AddGenerationPrompt: true})
		}
		if (err != nil) != tc.Error {
			t.Errorf("%q: error %v; Jinja fails: %t", tc.Template, err, tc.Error)
		}
		if got != tc.Text {
			t.Errorf("%q renders as %q, want %q", tc.Template, got, tc.Text)
		}
	}
}

func TestATemplateThatRaisesRefusesTheMessages(t *testing.T) {
	tmpl, err := New(`{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{{ m.content }}{% endfor %}`, Vars{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tmpl.Render([]Message{{Role: "system", Content: "Be kind."}, {Role: "user", Content: "Hi"}}, RenderOptions{AddGenerationPrompt: true})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "System role not supported") {
		t.Errorf("error %v, want ErrRefused with the template's message", err)
	}
	if got, err := tmpl.Render([]Message{{Role: "user", Content: "Hi"}}, RenderOptions{AddGenerationPrompt: true}); err != nil || got != "Hi" {
		t.Errorf("without a system message: %q, %v; want Hi", got, err)
	}
}

func TestRolesAndContentsReachTheTemplateAsTheyAre(t *testing.T) {
	tmpl, err := New(chatML, Vars{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tmpl.Render([]Message{
		{Role: "system", Content: ""}, {Role: "user", Content: "{{ 1 }} {% if %}"}, {Role: "assistant", Content: "\"a\\\"\x00\xff"}, {Role: "tool", Content: "<b>&amp;"}, {Role: "critic", Content: "own role"},
	}, RenderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n{{ 1 }} {% if %}<|im_end|>\n" +
		"<|im_start|>assistant\n\"a\\\"\x00\xff<|im_end|>\n<|im_start|>tool\n<b>&amp;<|im_end|>\n<|im_start|>critic\nown role<|im_end|>\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMisuseIsAnError(t *testing.T) {
	tmpl, err := New(chatML, Vars{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmpl.Render(nil, RenderOptions{AddGenerationPrompt: true}); err == nil || !strings.Contains(err.Error(), "no messages") {
		t.Errorf("no messages: error %v", err)
	}
	if _, err := tmpl.Render([]Message{{Role: "user", Content: "a"}, {Role: "", Content: "b"}}, RenderOptions{AddGenerationPrompt: true}); err == nil || !strings.Contains(err.Error(), "message 1 has no role") {
		t.Errorf("no role: error %v", err)
	}
	if _, err := New("", Vars{}); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("empty template: error %v", err)
	}
}

func TestFaultyTemplatesAreErrorsThatNameTheLine(t *testing.T) {
	for _, tc := range []struct{ source, want string }{
		{"a\n{{ x", `line 2: a tag is not closed with }}`},
		{"a\n\n{% if x", `line 3: a tag is not closed with %}`},
		{"{# c", `line 1: a comment is not closed`},
		{"\n{{ (x }}", `line 2: '}' closes nothing`},
		{"{{ x) ~ (y }}", `line 1: ')' closes nothing`},
		{"{{ [x }", "line 1"},
		{"{{ {'a': 1", `a '}' is missing`},
		{"{% raw %} x", "line 1: raw without endraw"},
		{"\n{% %}", "line 2: a statement without a keyword"},
		{"\n{{ }}", "line 2: nothing to print"},
		{"text\n\n{{ a b }}", "line 3"},
		{"text\n\n{% if %}{% endif %}", "line 3"},
		{"text\n\n{% if 1 %}\n{% frobnicate %}{% endif %}", "line 4"},
		{"{% if x %}", "unclosed if"},
		{"{% for x in y %}", "unclosed for"},
		{"{% endif %}", "endif"},
		{"{% macro f(x) %}{{ x|f }}{% endmacro %}{{ 1|f }}", `line 1: no filter named "f"`},
		{"\n{% macro f(a=1, b) %}{% endmacro %}", "line 2"},
	} {
		_, err := New(tc.source, Vars{})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want one with %q", tc.source, err, tc.want)
		}
	}
}

func TestOneTemplateServesManyGoroutines(t *testing.T) {
	tmpl, err := New(`{% macro turn(m) %}[{{ m.role }} {{ m.content }}]{% endmacro %}{% for m in messages %}{{ turn(m) }}{% endfor %}`, Vars{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, who := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			want := strings.Repeat("[user "+who+"]", 20)
			messages := make([]Message, 20)
			for i := range messages {
				messages[i] = Message{Role: "user", Content: who}
			}
			for range 20 {
				if got, err := tmpl.Render(messages, RenderOptions{}); err != nil || got != want {
					t.Errorf("%q, %v; want %q", got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}
