package chat

import "fmt"

// EventKind says what a part of an answer is.
type EventKind int

// The kinds of events. A call is CallBegin, CallArguments and CallEnd, or CallBegin and CallDrop.
const (
	Text          EventKind = iota // a part of the content
	Reasoning                      // a part of the reasoning
	Markup                         // tags and the white space around them, which are shown to nobody
	CallBegin                      // a call seems to begin; only its name is known
	CallArguments                  // the arguments of a call
	CallEnd                        // the call is whole
	CallDrop                       // what began is no call; its source comes as text
)

func (k EventKind) String() string {
	names := [...]string{"text", "reasoning", "markup", "call begin", "call arguments", "call end", "call drop"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("EventKind(%d)", int(k))
	}
	return names[k]
}

// Event is a part of an answer. The sources of all events of an answer, joined, are the answer.
type Event struct {
	Kind   EventKind
	Text   string   // of Text and Reasoning; of CallArguments: a JSON object
	Call   ToolCall // of CallBegin without arguments; of CallEnd
	Source string   // what the model wrote; of a call it all comes with CallEnd
}
