package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
)

// batchPrompt is one of the prompts in a file: a text, token ids, or a conversation.
type batchPrompt struct {
	prompt
	line   int
	id     json.RawMessage // what the answer is called; nil: it has no name
	config ebb.GenerationConfig
	err    error // what is wrong with it
}

// batchObject is an object in a .jsonl file.
type batchObject struct {
	ID       json.RawMessage            `json:"id"`
	Prompt   *string                    `json:"prompt"`
	IDs      []int32                    `json:"prompt_ids"`
	Messages []batchMessage             `json:"messages"`
	Tools    []chat.Tool                `json:"tools"`
	Config   map[string]json.RawMessage `json:"generation_config"`
}

// batchMessage is a message in a file that people write: a field that is not known is an error.
type batchMessage struct{ chat.Message }

func (m *batchMessage) UnmarshalJSON(data []byte) error {
	var known struct {
		Role, Content, Name, Reasoning json.RawMessage
		Thoughts                       json.RawMessage `json:"reasoning_content"`
		Calls                          json.RawMessage `json:"tool_calls"`
		CallID                         json.RawMessage `json:"tool_call_id"`
	}
	fields := json.NewDecoder(bytes.NewReader(data))
	fields.DisallowUnknownFields()
	if err := fields.Decode(&known); err != nil {
		return err
	}
	return json.Unmarshal(data, &m.Message)
}

// readBatch reads a file of prompts; - is stdin. Each line is a prompt, or a JSON object where the
// file is JSONL; empty lines are left out. base is the generation config of each prompt that does
// not change it. A line that is wrong becomes a prompt with an error. If all lines are wrong,
// readBatch returns all these errors.
func readBatch(name string, stdin io.Reader, base ebb.GenerationConfig) (prompts []batchPrompt, err error) {
	data, err := readText("the prompts", name, stdin)
	if err != nil {
		return nil, err
	}
	objects := isJSONL(name, data)
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.TrimSpace(line) == "":
		case objects:
			prompts = append(prompts, parseBatchLine(n, line, base)...)
		default:
			prompts = append(prompts, batchPrompt{prompt: prompt{text: line}, line: n, config: base})
		}
	}
	var errs []error
	for _, p := range prompts {
		if p.err == nil {
			return prompts, nil
		}
		errs = append(errs, fmt.Errorf("%s, line %d: %s", name, p.line, plain(p.err)))
	}
	if len(prompts) == 0 {
		return nil, fmt.Errorf("%s has no prompts: want one a line", name)
	}
	return nil, errors.Join(errs...)
}

// isJSONL reports whether a file of prompts holds JSON objects. The ending of its name says so;
// stdin has none, so there the first line decides.
func isJSONL(name string, data []byte) bool {
	if name != "-" {
		ending := strings.ToLower(filepath.Ext(name))
		return ending == ".jsonl" || ending == ".ndjson"
	}
	first, _, _ := bytes.Cut(bytes.TrimSpace(data), []byte("\n"))
	var object map[string]json.RawMessage
	return json.Unmarshal(bytes.TrimSpace(first), &object) == nil && object != nil
}

// parseBatchLine reads a line of JSON. It has several objects if files were joined and one of them
// does not end in a newline.
func parseBatchLine(n int, line string, base ebb.GenerationConfig) (prompts []batchPrompt) {
	objects := json.NewDecoder(strings.NewReader(line))
	objects.DisallowUnknownFields()
	for {
		p := batchPrompt{prompt: prompt{text: line}, line: n, config: base}
		var o batchObject
		err := objects.Decode(&o)
		if errors.Is(err, io.EOF) {
			return prompts
		}
		if err != nil {
			p.err = fmt.Errorf("%s: %s", strings.TrimPrefix(wrongType(err).Error(), "json: "), wantBatchObject)
			return append(prompts, p)
		}
		p.err = p.set(o)
		prompts = append(prompts, p)
	}
}

// wrongType says in JSON's terms which field has a value of the wrong type, if that is the error.
func wrongType(err error) error {
	mismatch := new(json.UnmarshalTypeError)
	if !errors.As(err, &mismatch) {
		return err
	}
	value, _, _ := strings.Cut(mismatch.Value, " ")
	if mismatch.Field == "" {
		return fmt.Errorf("a JSON %s cannot be here", value)
	}
	return fmt.Errorf("%s cannot be a JSON %s", mismatch.Field, value)
}

const wantBatchObject = `want {"prompt": "…"}, {"prompt_ids": […]} or {"messages": […]}, and perhaps "id" and "generation_config"`

// set makes p the prompt of a JSON object. The error says what is wrong with the object.
func (p *batchPrompt) set(o batchObject) error {
	if len(o.ID) > 0 && string(o.ID) != "null" {
		if !strings.ContainsRune(`"-0123456789`, rune(o.ID[0])) {
			return fmt.Errorf("id is %s: want a string or a number", o.ID)
		}
		p.id = o.ID
	}
	switch {
	case o.Prompt != nil && o.IDs == nil && o.Messages == nil:
		p.prompt = prompt{text: *o.Prompt}
	case o.Prompt == nil && o.IDs != nil && o.Messages == nil:
		p.prompt = prompt{ids: o.IDs}
	case o.Prompt == nil && o.IDs == nil && len(o.Messages) > 0:
		p.prompt = prompt{tools: o.Tools}
		for _, m := range o.Messages {
			p.messages = append(p.messages, m.Message)
		}
	default:
		return errors.New("want a prompt, or prompt_ids, or messages, and only one of them")
	}
	if o.Tools != nil && o.Messages == nil {
		return errors.New("tools are for messages: want both, or a prompt without tools")
	}
	var errs []error
	for name, value := range o.Config {
		errs = append(errs, p.config.Set(name, value))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if p.config.MTP > 0 {
		return fmt.Errorf("generation config: mtp is %d: tokens are drafted for one text; leave it out in a batch", p.config.MTP)
	}
	return p.config.Validate()
}

// title returns the heading of an answer: the line, the id if there is one, and the beginning of
// the prompt.
func (p *batchPrompt) title() string {
	text := p.text
	switch {
	case p.ids != nil:
		text = strings.Trim(fmt.Sprint(p.ids), "[]")
	case len(p.messages) > 0:
		text = p.messages[len(p.messages)-1].Content
	}
	text = strings.Join(strings.Fields(text), " ") // on one line
	if letters := []rune(text); len(letters) > 70 {
		text = string(letters[:69]) + "…"
	}
	if p.id != nil {
		return fmt.Sprintf("%d %s: %s", p.line, p.id, text)
	}
	return fmt.Sprintf("%d: %s", p.line, text)
}
