package anthropic

import (
	"context"
	"encoding/json"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/tokenizer"
)

// signature is that of all thinking. It is no signature; that of nothing would have programs drop the
// thinking.
const signature = "ebb"

// callPrefix begins the names of calls.
const callPrefix = "toolu_"

// draft is the message that an answer becomes. Each event of the answer makes it longer; send is told.
type draft struct {
	message reply
	send    func(event) error
	open    bool     // the last block goes on
	prose   []byte   // of the last block, if it goes on and is text or thinking
	stops   []string // that the answer may end with
	single  bool     // the answer ends with its first call
	spelt   []byte   // the answer as the model wrote it, if there are stops
}

// reply is a message in a response.
type reply struct {
	ID           string       `json:"id"`
	Type         string       `json:"type"` // message
	Role         string       `json:"role"` // assistant
	Model        string       `json:"model"`
	Content      []replyBlock `json:"content"`
	StopReason   *string      `json:"stop_reason"`
	StopSequence *string      `json:"stop_sequence"`
	Usage        usage        `json:"usage"`
}

// usage says what an answer has taken. What is kept for later requests costs nothing, and is not told
// apart.
type usage struct {
	Input         int `json:"input_tokens"` // tokens of the prompt that were computed
	CacheCreation int `json:"cache_creation_input_tokens"`
	CacheRead     int `json:"cache_read_input_tokens"` // those that were not
	Output        int `json:"output_tokens"`
}

func usageOf(u service.Usage) usage {
	return usage{Input: u.Prompt - u.Cached, CacheRead: u.Cached, Output: u.New}
}

// replyBlock is a block of a reply. It has those fields that are not nil.
type replyBlock struct {
	Type      string          `json:"type"` // text, thinking or tool_use
	Text      *string         `json:"text,omitempty"`
	Thinking  *string         `json:"thinking,omitempty"`
	Signature *string         `json:"signature,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
}

// newDraft returns the draft of an answer to a request. Nobody is told of its events yet.
func newDraft(q *request) *draft {
	single := q.ToolChoice != nil && q.ToolChoice.DisableParallel
	return &draft{
		message: reply{ID: wire.ID("msg_"), Type: "message", Role: "assistant", Model: q.Model, Content: []replyBlock{}},
		send:    func(event) error { return nil }, stops: q.StopSequences, single: single,
	}
}

// ping says that the connection lives. Programs accept it before all else.
func (d *draft) ping() error { return d.send(event{Type: "ping"}) }

// read makes the message of the whole answer.
func (d *draft) read(ctx context.Context, answer *service.Answer) error {
	if err := d.begin(answer.Usage()); err != nil {
		return err
	}
	for e, err := range answer.Events(ctx) {
		if err != nil {
			return err
		}
		d.spell(answer.Tokenizer(), e.Tokens)
		done, err := d.take(e)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	return d.finish(answer.Usage())
}

// begin tells of the message before there is anything in it. How much of the prompt was kept is said
// at its end, when it is known.
func (d *draft) begin(u service.Usage) error {
	d.message.Usage = usageOf(u)
	return d.send(event{Type: "message_start", Message: &d.message})
}

// take takes an event of the answer. It returns true when no other one is wanted.
func (d *draft) take(e service.Event) (done bool, err error) {
	switch e.Kind {
	case service.Beat:
		return false, d.ping()
	case service.Finished:
		return true, d.end(e.Finish)
	case service.Part:
		return d.part(e.Part)
	case service.Prefill:
	}
	return false, nil
}

// spell adds tokens to what the model wrote, if that is asked for in the end.
func (d *draft) spell(by *tokenizer.Tokenizer, tokens []generate.Token) {
	if len(d.stops) == 0 {
		return
	}
	for _, t := range tokens {
		d.spelt = append(d.spelt, by.Spell(t.ID)...)
	}
}

// part adds a part of the answer.
func (d *draft) part(p chat.Event) (done bool, err error) {
	switch p.Kind {
	case chat.Text:
		err = d.say("text", p.Text)
	case chat.Reasoning:
		err = d.say("thinking", p.Text)
	case chat.CallEnd:
		if err = d.call(p.Call); err == nil && d.single {
			return true, d.end(generate.EndToken)
		}
	case chat.Markup, chat.CallBegin, chat.CallArguments, chat.CallDrop: // a call is told of when it is certain
	}
	return false, err
}

// say adds text or thinking to the last block, or to a new one if that is of another kind.
func (d *draft) say(kind, text string) error {
	if !d.open || d.last().Type != kind {
		if err := d.close(); err != nil {
			return err
		}
		b := replyBlock{Type: kind}
		if kind == "thinking" {
			b.Thinking, b.Signature = new(string), new(string)
		} else {
			b.Text = new(string)
		}
		if err := d.start(b); err != nil {
			return err
		}
	}
	d.prose = append(d.prose, text...)
	if kind == "thinking" {
		return d.delta(delta{Type: "thinking_delta", Thinking: &text})
	}
	return d.delta(delta{Type: "text_delta", Text: &text})
}

// call adds a call of a tool, which is one block.
func (d *draft) call(c chat.ToolCall) error {
	if err := d.close(); err != nil {
		return err
	}
	if err := d.start(replyBlock{Type: "tool_use", ID: wire.CallID(callPrefix, c.ID), Name: c.Name, Input: json.RawMessage("{}")}); err != nil {
		return err
	}
	if err := d.delta(delta{Type: "input_json_delta", PartialJSON: &c.Arguments}); err != nil {
		return err
	}
	if json.Valid([]byte(c.Arguments)) { // as those that a parser has read are
		d.last().Input = json.RawMessage(c.Arguments)
	}
	return d.close()
}

// end ends the message.
func (d *draft) end(finish generate.Finish) error {
	if err := d.close(); err != nil {
		return err
	}
	reason := "end_turn"
	switch finish {
	case generate.StopString:
		reason = "stop_sequence"
		d.message.StopSequence = d.stop()
	case generate.LengthLimit, generate.TimeLimit:
		reason = "max_tokens"
	case generate.EndToken, generate.GrammarEnd, generate.Unfinished:
		for _, b := range d.message.Content {
			if b.Type == "tool_use" {
				reason = "tool_use"
			}
		}
	}
	d.message.StopReason = &reason
	return nil
}

// finish says with what the message has ended, and what it has taken.
func (d *draft) finish(u service.Usage) error {
	d.message.Usage = usageOf(u)
	err := d.send(event{
		Type:  "message_delta",
		Delta: &delta{StopReason: d.message.StopReason, StopSequence: &d.message.StopSequence},
		Usage: &d.message.Usage,
	})
	if err != nil {
		return err
	}
	return d.send(event{Type: "message_stop"})
}

// stop returns the stop sequence that the answer has ended with.
func (d *draft) stop() *string {
	cutter := generate.NewCutter(d.stops)
	before, _ := cutter.Next(string(d.spelt))
	rest := string(d.spelt[len(before):])
	var found *string
	for _, s := range d.stops {
		if len(s) <= len(rest) && rest[:len(s)] == s && (found == nil || len(s) < len(*found)) {
			found = &s
		}
	}
	return found
}

func (d *draft) last() *replyBlock { return &d.message.Content[len(d.message.Content)-1] }

// start begins a block.
func (d *draft) start(b replyBlock) error {
	d.message.Content, d.open = append(d.message.Content, b), true
	return d.send(event{Type: "content_block_start", Index: d.index(), ContentBlock: &b})
}

func (d *draft) delta(c delta) error {
	return d.send(event{Type: "content_block_delta", Index: d.index(), Delta: &c})
}

// close ends the last block, if it goes on.
func (d *draft) close() error {
	if !d.open {
		return nil
	}
	d.open = false
	b, text := d.last(), string(d.prose)
	d.prose = d.prose[:0]
	switch b.Type {
	case "text":
		b.Text = &text
	case "thinking":
		s := signature
		b.Thinking, b.Signature = &text, &s
		if err := d.delta(delta{Type: "signature_delta", Signature: &s}); err != nil {
			return err
		}
	}
	return d.send(event{Type: "content_block_stop", Index: d.index()})
}

func (d *draft) index() *int {
	i := len(d.message.Content) - 1
	return &i
}
