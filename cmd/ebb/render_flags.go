package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/tokenizer"
)

// renderFlags are the flags that say what the chat template is given beside messages.
type renderFlags struct {
	tools     string // a file
	variables string // JSON
}

func (f *renderFlags) register(cmd *cobra.Command) {
	group(cmd, groupPrompt, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.tools, "tools", "", `The tools that the model may call: a `+"`FILE`"+` with a JSON list, as OpenAI's API has them, [{"type": "function", "function": {"name": …, "description": …, "parameters": …}}].`)
		flags.StringVar(&f.variables, "chat-template-kwargs", "", `Variables of the chat template, as a `+"`JSON`"+` object: {"enable_thinking": false} for Qwen3, {"reasoning_effort": "low"} for gpt-oss.`)
	})
	if err := cmd.MarkFlagFilename("tools", "json"); err != nil {
		panic(err) // there is no such flag
	}
}

// given reports whether a flag is.
func (f *renderFlags) given() bool { return f.tools != "" || f.variables != "" }

// read reads what the flags name, before a model is opened.
func (f *renderFlags) read() (o chat.RenderOptions, err error) {
	if f.variables != "" {
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(f.variables), &object); err != nil || object == nil {
			return o, misusef(`--chat-template-kwargs %s: want a JSON object, as in {"enable_thinking": false}`, f.variables)
		}
		o.Variables = []byte(f.variables)
	}
	if f.tools == "" {
		return o, nil
	}
	data, err := readText("the tools", f.tools, nil)
	if err != nil {
		return o, err
	}
	if o.Tools, err = chat.ParseTools(data); err != nil {
		return o, fmt.Errorf("%s: %s", f.tools, plain(err))
	}
	return o, nil
}

// checkTools reports tools that a template would not show to the model.
func checkTools(template *chat.Template, o chat.RenderOptions) error {
	if len(o.Tools) > 0 && !template.TakesTools() {
		return errors.New("the model's chat template takes no tools: describe them in --system instead")
	}
	return nil
}

// rendered is a prompt as the model reads it.
type rendered struct {
	tokens []int32
	format answerFormat // of the answers to it
}

// renderMessages returns a conversation as the model reads it, without the beginning of another turn.
func renderMessages(engine *ebb.Engine, template *chat.Template, messages []chat.Message, o chat.RenderOptions) ([]int32, error) {
	text, err := template.Render(messages, o)
	if err != nil {
		return nil, err
	}
	return engine.Tokenizer().Encode(text, tokenizer.Options{ParseSpecial: true})
}

// renderPrompt returns a conversation up to where the assistant's next turn begins.
func renderPrompt(engine *ebb.Engine, template *chat.Template, messages []chat.Message, o chat.RenderOptions) (r rendered, err error) {
	o.AddGenerationPrompt = true
	text, err := template.Render(messages, o)
	if err != nil {
		return r, err
	}
	calls := 0
	for _, m := range messages {
		calls += len(m.ToolCalls)
	}
	r.format = answerFormat{
		template.Format(engine.Config().Architecture),
		chat.ParserOptions{Tools: o.Tools, Prompt: text, Calls: calls},
	}
	r.tokens, err = engine.Tokenizer().Encode(text, tokenizer.Options{ParseSpecial: true})
	return r, err
}
