package clients

import (
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// ask is a conversation of one question, which greedy decoding answers.
func ask(question string, tokens int64) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:       model,
		Messages:    []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)},
		MaxTokens:   openai.Int(tokens),
		Temperature: openai.Float(0),
	}
}

func (s *server) client() openai.Client {
	return openai.NewClient(option.WithBaseURL(s.url+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

// answer streams the answer to a question, and returns it with how many tokens of the prompt were kept.
func (s *server) answer(t *testing.T, question string, tokens int64) (text string, cached int64) {
	t.Helper()
	params := ask(question, tokens)
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	client := s.client()
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	defer stream.Close()
	var b strings.Builder
	for stream.Next() {
		chunk := stream.Current()
		for _, c := range chunk.Choices {
			b.WriteString(c.Delta.Content)
		}
		cached = max(cached, chunk.Usage.PromptTokensDetails.CachedTokens)
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return b.String(), cached
}

func TestClientForGo(t *testing.T) {
	s := start(t)
	client := s.client()
	whole, err := client.Chat.Completions.New(t.Context(), ask("Name a colour.", 12))
	if err != nil {
		t.Fatal(err)
	}
	text, cached := s.answer(t, "Name a colour.", 12)
	if want := whole.Choices[0].Message.Content; text != want || text == "" {
		t.Errorf("the stream has %q, and the answer at once is %q", text, want)
	}
	if cached != whole.Usage.PromptTokens-1 {
		t.Errorf("%d of %d tokens of a prompt that was repeated were kept, want all but the last", cached, whole.Usage.PromptTokens)
	}
}

func TestAKilledServerGoesOnFromItsFiles(t *testing.T) {
	dir := t.TempDir()
	story := strings.Repeat("The farmer counted silver coins in the garden, and the doctor lost a key near the river. ", 40) +
		"What did the doctor lose?"
	s := start(t, "--cache-dir", dir)
	want, _ := s.answer(t, story, 24)
	// The rows are written in the background, and the process is killed in the middle of another answer.
	client := s.client()
	stream := client.Chat.Completions.NewStreaming(t.Context(), ask(story+" Think.", 400))
	for range 8 {
		if !stream.Next() {
			t.Fatal(stream.Err())
		}
	}
	s.kill()
	_ = stream.Close() // its server is gone

	again := start(t, "--cache-dir", dir)
	got, cached := again.answer(t, story, 24)
	if got != want {
		t.Errorf("after the restart the answer is %q, and it was %q", got, want)
	}
	if cached < 256 {
		t.Errorf("%d tokens of the prompt were kept, want those of a block of 256 at least", cached)
	}
}
