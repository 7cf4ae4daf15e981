package service

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/grammar/jsonschema"
	"github.com/seed4d217819/ebb/tokenizer"
)

// prompt is a request as the model reads it, and how its answers are read.
type prompt struct {
	tokens []int32
	turn   int         // of these, those before the assistant's turn; 0: that is not known
	format chat.Format // "": the answers are text
	reads  chat.ParserOptions
	given  string // what the answer begins with that the client has given
	config ebb.GenerationConfig
}

// prompt makes the prompt of a request. It computes nothing, and may be called from any goroutine.
func (s *Service) prompt(r Request) (p prompt, err error) {
	p.config, p.tokens = r.Config, r.Prompt
	if r.Chat != nil {
		if p.tokens, p.format, p.reads, err = s.render(r.Chat); err != nil {
			return p, err
		}
		p.given, p.turn = r.Chat.given(), s.turn(r.Chat, p)
	}
	if len(p.tokens) == 0 {
		return p, &RequestError{"prompt", errors.New("it is empty: want at least one token")}
	}
	room := s.engine.Context() - len(p.tokens)
	if room < 0 {
		return p, &ContextError{len(p.tokens), s.engine.Context()}
	}
	texts := max(p.config.NumReturnSequences, p.config.NumBeams, 1)                         // which share the context
	if most := room/texts + 1; p.config.MaxNewTokens == 0 || p.config.MaxNewTokens > most { // the last token is never computed
		p.config.MaxNewTokens = most
	}
	if err := checkStops(p.config.StopStrings); err != nil {
		return p, err
	}
	gbnf, err := s.grammar(r, p)
	if err != nil {
		return p, err
	}
	if gbnf != "" {
		if p.config.Grammar, err = s.grammars.get(gbnf); err != nil {
			return p, &RequestError{"grammar", err}
		}
	}
	if err := p.config.Validate(); err != nil {
		return p, &RequestError{"", err}
	}
	return p, nil
}

// Bounds of the strings that end a text. They are looked for in each step, for which others wait.
const (
	maxStops     = 64
	maxStopBytes = 1024
)

// checkStops reports strings that would take too long to look for.
func checkStops(stops []string) error {
	if len(stops) > maxStops {
		return &RequestError{"stop", fmt.Errorf("there are %d strings that end the text: want at most %d", len(stops), maxStops)}
	}
	for _, stop := range stops {
		if stop == "" {
			return &RequestError{"stop", errors.New("a string that ends the text is empty, which stands everywhere: want at least one character")}
		}
		if len(stop) > maxStopBytes {
			return &RequestError{"stop", fmt.Errorf("a string that ends the text has %d bytes: want at most %d", len(stop), maxStopBytes)}
		}
	}
	return nil
}

// grammar returns the grammar that the new text follows; "": none.
func (s *Service) grammar(r Request, p prompt) (gbnf string, err error) {
	required := r.Chat != nil && r.Chat.Choice.Mode == ToolsRequired
	switch {
	case required && (r.Schema != nil || r.Grammar != ""):
		return "", &RequestError{"tool_choice", errors.New("the answer is to be a call, and to follow a grammar or a schema: want one of both")}
	case required && r.Chat.Continue:
		return "", &RequestError{"tool_choice", errors.New("the answer is to be a call, and the last message is the beginning of a text: want one of both")}
	case required:
		choice := r.Chat.Choice
		if gbnf, err = p.format.CallGrammar(r.Chat.Tools, chat.CallGrammarOptions{
			Name: choice.Name, Parallel: choice.Name == "" && !choice.Single, Reasoning: s.template.Reasons(), Prompt: p.reads.Prompt,
		}); err != nil {
			return "", &RequestError{"tools", err}
		}
	case r.Schema != nil && r.Chat != nil:
		if gbnf, err = p.format.JSONGrammar(r.Schema, p.reads.Prompt, s.template.Reasons() && !r.Chat.Continue); err != nil {
			return "", &RequestError{"schema", err}
		}
	case r.Schema != nil:
		if gbnf, err = jsonschema.Grammar(r.Schema); err != nil {
			return "", &RequestError{"schema", err}
		}
	default:
		gbnf = r.Grammar
	}
	return gbnf, nil
}

// render renders a conversation up to where the answer begins.
func (s *Service) render(c *Chat) (tokens []int32, f chat.Format, o chat.ParserOptions, err error) {
	text, err := s.Render(c)
	if err != nil {
		return nil, "", o, err
	}
	calls := 0
	for _, m := range c.Messages {
		calls += len(m.ToolCalls)
	}
	o = chat.ParserOptions{Tools: c.shown(), Prompt: text, Calls: calls}
	tokens, err = s.engine.Tokenizer().Encode(text, tokenizer.Options{ParseSpecial: true})
	return tokens, s.template.Format(s.engine.Config().Architecture), o, err
}

// turn returns how many tokens of a prompt come before the assistant's turn; 0: that is not known, as where
// the assistant is to go on with a turn.
func (s *Service) turn(c *Chat, p prompt) int {
	if c.Continue {
		return 0
	}
	before, err := s.show(c, chat.RenderOptions{})
	if err != nil || before == "" {
		return 0
	}
	begins, found := strings.CutPrefix(p.reads.Prompt, before)
	if !found {
		return 0
	}
	tokens, err := s.engine.Tokenizer().Encode(begins, tokenizer.Options{ParseSpecial: true})
	if err != nil {
		return 0
	}
	return max(0, len(p.tokens)-len(tokens))
}

// Render returns the text of a conversation as the model reads it, up to where the answer begins. A
// conversation that the template cannot express is a [RequestError].
func (s *Service) Render(c *Chat) (string, error) {
	if s.template == nil {
		return "", &RequestError{"chat", s.noTemplate}
	}
	text, err := s.show(c, chat.RenderOptions{AddGenerationPrompt: !c.Continue, ContinueFinal: c.Continue})
	if err != nil {
		return "", &RequestError{"messages", fmt.Errorf("the model's chat template: %w", err)}
	}
	return text, nil
}

// show renders a conversation and its tools.
func (s *Service) show(c *Chat, o chat.RenderOptions) (string, error) {
	var messages []chat.Message
	messages, o.Tools = s.template.Introduce(s.template.Express(c.Messages), c.shown())
	o.Variables = c.Variables
	return s.template.Render(messages, o)
}

// given returns what the answer begins with that the client has given.
func (c *Chat) given() string {
	if !c.Continue || len(c.Messages) == 0 {
		return ""
	}
	return c.Messages[len(c.Messages)-1].Content
}

// shown returns the tools that the model is shown.
func (c *Chat) shown() []chat.Tool {
	if c.Choice.Mode == ToolsNone {
		return nil
	}
	return c.Tools
}
