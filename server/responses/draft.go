package responses

import (
	"context"
	"slices"

	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/generate"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// draft is the response that an answer becomes. Each event of the answer makes it longer; send is told.
type draft struct {
	response *response
	send     func(event) error
	sequence int    // number of the next event
	open     any    // the last item, if it goes on: a *message or a *thought
	prose    []byte // of open
	seal     bool   // reasoning is given as encrypted_content, too
	single   bool   // the answer ends with its first call
}

// newDraft returns the draft of a response to a request. Nobody is told of its events yet.
func newDraft(q *request, r *response) *draft {
	return &draft{
		response: r, send: func(event) error { return nil }, seal: slices.Contains(q.Include, "reasoning.encrypted_content"),
		single: q.single(),
	}
}

// tell sends an event.
func (d *draft) tell(e event) error {
	e.Sequence = d.sequence
	d.sequence++
	return d.send(e)
}

// read makes the response of the whole answer.
func (d *draft) read(ctx context.Context, answer *service.Answer) error {
	if err := d.begin(); err != nil {
		return err
	}
	for e, err := range answer.Events(ctx) {
		if err != nil {
			return err
		}
		done, err := d.take(e)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	return nil
}

// wait says that the response will go on, while its model is not there.
func (d *draft) wait() error {
	if d.sequence == 0 {
		return d.begin()
	}
	return d.beat()
}

// begin tells of the response before there is anything in it, if nothing was told yet.
func (d *draft) begin() error {
	if d.sequence > 0 {
		return nil
	}
	if err := d.tell(event{Type: "response.created", Response: d.response}); err != nil {
		return err
	}
	return d.beat()
}

// beat says that the response goes on. It is how programs know that the connection lives.
func (d *draft) beat() error {
	empty := *d.response
	empty.Output = []any{}
	return d.tell(event{Type: "response.in_progress", Response: &empty})
}

// take takes an event of the answer. It returns true when no other one is wanted.
func (d *draft) take(e service.Event) (done bool, err error) {
	switch e.Kind {
	case service.Beat:
		return false, d.beat()
	case service.Finished:
		return true, d.finish(e.Finish)
	case service.Part:
		return d.part(e.Part)
	case service.Prefill:
	}
	return false, nil
}

// part adds a part of the answer.
func (d *draft) part(p chat.Event) (done bool, err error) {
	switch p.Kind {
	case chat.Text:
		err = d.say(p.Text)
	case chat.Reasoning:
		err = d.think(p.Text)
	case chat.CallEnd:
		if err = d.call(p.Call); err == nil && d.single {
			return true, d.finish(generate.EndToken)
		}
	case chat.Markup, chat.CallBegin, chat.CallArguments, chat.CallDrop: // a call is told of when it is certain
	}
	return false, err
}

// say adds text to a message.
func (d *draft) say(text string) error {
	m, ok := d.open.(*message)
	if !ok {
		m = &message{Type: "message", ID: wire.ID("msg_"), Status: "in_progress", Role: "assistant", Content: []outputText{}}
		if err := d.start(m); err != nil {
			return err
		}
		if err := d.tell(d.inContent("response.content_part.added", m.ID, event{Part: newText("")})); err != nil {
			return err
		}
	}
	d.prose = append(d.prose, text...)
	return d.tell(d.inContent("response.output_text.delta", m.ID, event{Delta: &text, LogProbs: &[]string{}}))
}

// think adds text to reasoning.
func (d *draft) think(text string) error {
	t, ok := d.open.(*thought)
	if !ok {
		t = &thought{Type: "reasoning", ID: wire.ID("rs_"), Status: "in_progress", Summary: []string{}, Content: []thoughtText{}}
		if err := d.start(t); err != nil {
			return err
		}
		if err := d.tell(d.inContent("response.content_part.added", t.ID, event{Part: thoughtText{Type: "reasoning_text"}})); err != nil {
			return err
		}
	}
	d.prose = append(d.prose, text...)
	return d.tell(d.inContent("response.reasoning_text.delta", t.ID, event{Delta: &text}))
}

// call adds a call, which is whole.
func (d *draft) call(c chat.ToolCall) error {
	if err := d.close("completed"); err != nil {
		return err
	}
	k := &call{Type: "function_call", ID: wire.ID("fc_"), Status: "in_progress", CallID: wire.CallID(callPrefix, c.ID), Name: c.Name}
	d.response.Output = append(d.response.Output, k)
	if err := d.tell(d.inItem("response.output_item.added", "", event{Item: k})); err != nil {
		return err
	}
	k.Arguments, k.Status = c.Arguments, "completed"
	if err := d.tell(d.inItem("response.function_call_arguments.delta", k.ID, event{Delta: &k.Arguments})); err != nil {
		return err
	}
	if err := d.tell(d.inItem("response.function_call_arguments.done", k.ID, event{Name: k.Name, Arguments: &k.Arguments})); err != nil {
		return err
	}
	return d.tell(d.inItem("response.output_item.done", "", event{Item: k}))
}

// start begins an item of text or reasoning.
func (d *draft) start(item any) error {
	if err := d.close("completed"); err != nil {
		return err
	}
	d.open, d.response.Output = item, append(d.response.Output, item)
	return d.tell(d.inItem("response.output_item.added", "", event{Item: item}))
}

// close ends the last item, if it goes on.
func (d *draft) close(status string) error {
	open, text := d.open, string(d.prose)
	d.open, d.prose = nil, d.prose[:0]
	var events []event
	switch item := open.(type) {
	case *message:
		whole := newText(text)
		item.Status, item.Content = status, []outputText{whole}
		events = []event{
			d.inContent("response.output_text.done", item.ID, event{Text: &text, LogProbs: &[]string{}}),
			d.inContent("response.content_part.done", item.ID, event{Part: whole}),
			d.inItem("response.output_item.done", "", event{Item: item}),
		}
	case *thought:
		whole := thoughtText{"reasoning_text", text}
		item.Status, item.Content = status, []thoughtText{whole}
		if d.seal {
			item.Encrypted = new(string)
			*item.Encrypted = seal(text)
		}
		events = []event{
			d.inContent("response.reasoning_text.done", item.ID, event{Text: &text}),
			d.inContent("response.content_part.done", item.ID, event{Part: whole}),
			d.inItem("response.output_item.done", "", event{Item: item}),
		}
	}
	for _, e := range events {
		if err := d.tell(e); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the response where the answer has ended.
func (d *draft) finish(f generate.Finish) error {
	if f == generate.LengthLimit || f == generate.TimeLimit {
		return d.cut("max_output_tokens")
	}
	d.response.Status = "completed"
	return d.close("completed")
}

// cut ends the response before its end.
func (d *draft) cut(reason string) error {
	d.response.Status, d.response.Incomplete = "incomplete", &incomplete{reason}
	return d.close("incomplete")
}

// fail ends the response with a fault.
func (d *draft) fail(f *wire.Fault) error {
	code := f.Code
	if code == "" || code == "internal_error" {
		code = "server_error"
	}
	d.response.Status, d.response.Error = "failed", &failure{code, f.Message}
	return d.close("incomplete")
}

// end says how the response has ended.
func (d *draft) end() error {
	return d.tell(event{Type: "response." + d.response.Status, Response: d.response})
}

// inItem returns an event of the last item. id is the item's, where the event has that.
func (d *draft) inItem(kind, id string, e event) event {
	index := len(d.response.Output) - 1
	e.Type, e.ItemID, e.OutputIndex = kind, id, &index
	return e
}

// inContent returns an event of the content of the last item.
func (d *draft) inContent(kind, id string, e event) event {
	e = d.inItem(kind, id, e)
	e.ContentIndex = new(int)
	return e
}
