package anthropic

// event is an event of a stream. It has those fields that are not nil.
type event struct {
	Type         string      `json:"type"`
	Message      *reply      `json:"message,omitempty"`
	Index        *int        `json:"index,omitempty"`
	ContentBlock *replyBlock `json:"content_block,omitempty"`
	Delta        *delta      `json:"delta,omitempty"`
	Usage        *usage      `json:"usage,omitempty"`
	Error        *fault      `json:"error,omitempty"`
}

// delta is what an event adds to a block or to the message.
type delta struct {
	Type         string   `json:"type,omitempty"`
	Text         *string  `json:"text,omitempty"`
	Thinking     *string  `json:"thinking,omitempty"`
	Signature    *string  `json:"signature,omitempty"`
	PartialJSON  *string  `json:"partial_json,omitempty"`
	StopReason   *string  `json:"stop_reason,omitempty"`
	StopSequence **string `json:"stop_sequence,omitempty"` // null if there is none, where the field is there at all
}
