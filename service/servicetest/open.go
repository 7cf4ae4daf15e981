package servicetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/service"
)

// Template is the chat template of [Open]'s models. It takes tools, and answers are of the format
// chat.Hermes.
const Template = `{% if tools %}<s>tools {{ tools | tojson }}</s>{% endif %}` +
	`{% for m in messages %}{% if m.content == 'refuse me' %}{{ raise_exception('not that') }}{% endif %}<s>{{ m.role }} ` +
	`{% if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}` +
	`{% for c in m.tool_calls %}<tool_call>{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}</tool_call>{% endfor %}</s>{% endfor %}` +
	`{% if add_generation_prompt %}<s>assistant {% endif %}`

// WriteModel writes a tiny model with [Template] and other metadata, and returns its path.
func WriteModel(tb testing.TB, meta ...gguf.KV) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "tiny.gguf")
	meta = append([]gguf.KV{{Key: "tokenizer.chat_template", Value: Template}}, meta...)
	if err := os.WriteFile(path, testmodel.Edit(tb, testmodel.Golden(tb, "tiny-gqa"), meta), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Open opens a service of a tiny model on the CPU. It is closed when the test ends.
func Open(tb testing.TB, engine ebb.Options, o service.Options) *service.Service {
	tb.Helper()
	e, err := ebb.Open(WriteModel(tb), engine)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := service.New(e, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
		if err := e.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}
