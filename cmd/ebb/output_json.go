package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strconv"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/kv"
)

// output is what --output json prints. Scripts read it: names stay.
type output struct {
	Sequences []outputSequence `json:"sequences"`
	Logits    []logits         `json:"logits,omitempty"` // after the prompt's last tokens, the last one last
	Timings   outputTimings    `json:"timings"`
	Draft     *outputDraft     `json:"draft,omitempty"` // with --mtp
	Cache     outputCache      `json:"cache"`
	outputKernels
	Error string `json:"error,omitempty"` // what ended the text early
}

type outputSequence struct {
	IDs  []int32 `json:"ids"` // new tokens only
	Text string  `json:"text"`
	outputMessage
	Score       float64       `json:"score"`            // sum of the new tokens' log probabilities; of beams, by their length penalty
	BeamIndices []int32       `json:"beam_indices"`     // of which beam each token is the continuation; none without beams
	Finish      string        `json:"finish"`           // why the text ended: a [generate.Finish]
	Tokens      []outputToken `json:"tokens,omitempty"` // with --top-logprobs or --explain
}

// outputMessage is a text as the message that it is, unless the prompt was raw.
type outputMessage struct {
	Content   *string         `json:"content,omitempty"`
	Reasoning string          `json:"reasoning,omitempty"`
	ToolCalls []chat.ToolCall `json:"tool_calls,omitempty"`
}

type outputToken struct {
	ID      int32             `json:"id"`
	Text    string            `json:"text"` // special tokens are spelt
	LogProb float64           `json:"logprob"`
	Top     []outputCandidate `json:"top"` // the likeliest tokens of the step
}

type outputCandidate struct {
	ID      int32   `json:"id"`
	Text    string  `json:"text"`
	LogProb float64 `json:"logprob"`
}

// outputBatch is what --output json prints for --batch.
type outputBatch struct {
	Answers []outputAnswer `json:"answers"` // in the order of the prompts
	Timings outputTimings  `json:"timings"` // of all together
	Cache   outputCache    `json:"cache"`
	outputKernels
	Error string `json:"error,omitempty"` // what ended all early
}

type outputAnswer struct {
	ID        json.RawMessage  `json:"id,omitempty"` // the prompt's, if it has one
	Sequences []outputSequence `json:"sequences"`
	Error     string           `json:"error,omitempty"` // what ended it early, or is wrong with the prompt
}

// outputKernels say with what a CPU has computed attention and products.
type outputKernels struct {
	InstructionSet string `json:"instruction_set,omitempty"` // a name that EBB_ISA takes; "": no CPU computed
}

type outputTimings struct {
	Prefill    float64 `json:"prefill_tokens_per_second"`
	Decode     float64 `json:"decode_tokens_per_second"` // 0 if there are fewer than two tokens
	FirstToken float64 `json:"time_to_first_token_seconds"`
}

// outputDraft is what the model's own block has drafted.
type outputDraft struct {
	Drafted     int   `json:"drafted_tokens"`  // those that were checked
	Accepted    int   `json:"accepted_tokens"` // of these, those that were right
	DeviceBytes int64 `json:"device_bytes_peak"`
}

type outputCache struct {
	Policy          string  `json:"policy"`
	DeviceBytesPeak int64   `json:"device_bytes_peak"`
	HostBytes       int64   `json:"host_bytes"`
	DiskBytes       int64   `json:"disk_bytes,omitempty"`
	FetchedBytes    int64   `json:"fetched_bytes"`
	StoredBytes     int64   `json:"stored_bytes"`
	StallSeconds    float64 `json:"stall_seconds"`
	ResidentLayers  int     `json:"resident_layers"`
	StreamedLayers  int     `json:"streamed_layers"`
	WindowedLayers  int     `json:"windowed_layers,omitempty"`
	SharedLayers    int     `json:"shared_layers,omitempty"`
	RecurrentLayers int     `json:"recurrent_layers,omitempty"`
	StateBytes      int64   `json:"state_bytes,omitempty"`       // of one sequence in the recurrent layers
	StatesBytesPeak int64   `json:"states_bytes_peak,omitempty"` // of device_bytes_peak, those of states
	StatesOffBytes  int64   `json:"states_off_bytes,omitempty"`  // of host_bytes: states that visit the device
	Snapshots       int     `json:"snapshots,omitempty"`         // kept copies of states
	SnapshotBytes   int64   `json:"snapshot_bytes,omitempty"`    // of host_bytes and disk_bytes
	Recomputed      int     `json:"recomputed_tokens,omitempty"` // whose states were not kept
	Demotions       int     `json:"demotions,omitempty"`         // layers that have left the device meanwhile
}

// logits are written as the shortest decimals that give the same float32. JSON has only finite
// numbers: -Inf is written as null, the others as "inf" and "nan".
type logits []float32

func (row logits) MarshalJSON() ([]byte, error) { //nolint:unparam // the signature is json.Marshaler's
	text := append(make([]byte, 0, 12*len(row)), '[')
	for i, x := range row {
		if i > 0 {
			text = append(text, ',')
		}
		switch wide := float64(x); {
		case math.IsInf(wide, -1):
			text = append(text, "null"...)
		case math.IsInf(wide, 1):
			text = append(text, `"inf"`...)
		case math.IsNaN(wide):
			text = append(text, `"nan"`...)
		default:
			text = strconv.AppendFloat(text, wide, 'g', -1, 32)
		}
	}
	return append(text, ']'), nil
}

// printJSON prints an answer, and the error that ended it, if one did.
func printJSON(w io.Writer, a *answer, s ebb.Stats, spell spelling, err error) error {
	out := output{Sequences: describe(a.sequences, a.messages, spell), Timings: a.timings(), Cache: describeCache(s.Cache), Error: message(err)}
	out.InstructionSet = cpuInstructionSet(s)
	if len(out.Sequences) == 0 {
		out.Sequences = describe([]ebb.Completion{{}}, nil, spell)
	}
	if d := a.draft; d.Cache.Cells > 0 {
		out.Draft = &outputDraft{d.Drafted, d.Accepted, d.Cache.DeviceBytesPeak}
	}
	for _, row := range a.logits {
		out.Logits = append(out.Logits, row)
	}
	return writeJSON(w, out)
}

// printBatchJSON prints the answers to a batch.
func printBatchJSON(w io.Writer, m *measured, prompts []batchPrompt, answers []batchAnswer, s ebb.Stats, spell spelling, err error) error {
	out := outputBatch{Answers: []outputAnswer{}, Timings: m.timings(), Cache: describeCache(s.Cache), Error: message(err)}
	out.InstructionSet = cpuInstructionSet(s)
	for i, a := range answers {
		out.Answers = append(out.Answers, outputAnswer{prompts[i].id, describe(a.sequences, a.messages, spell), message(a.err)})
	}
	return writeJSON(w, out)
}

func writeJSON(w io.Writer, out any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(out); err != nil {
		return err
	}
	_, err := w.Write(text.Bytes())
	return err
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return plain(err)
}

// spelling returns the bytes of a token.
type spelling func(id int32) string

// describe converts completions to what is printed, with the messages that they are, if they are
// messages.
func describe(sequences []ebb.Completion, messages []chat.Message, spell spelling) []outputSequence {
	out := []outputSequence{}
	for i, s := range sequences {
		o := outputSequence{IDs: s.IDs, Text: s.Text, Score: finite(s.Score), BeamIndices: s.BeamIndices, Finish: s.Finish.String()}
		if i < len(messages) {
			m := &messages[i]
			o.outputMessage = outputMessage{&m.Content, m.Reasoning, m.ToolCalls}
		}
		if s.IDs == nil {
			o.IDs = []int32{}
		}
		if s.BeamIndices == nil {
			o.BeamIndices = []int32{}
		}
		for _, t := range s.Tokens {
			if t.Top == nil {
				continue
			}
			token := outputToken{ID: t.ID, Text: spell(t.ID), LogProb: t.LogProb}
			for _, c := range t.Top {
				token.Top = append(token.Top, outputCandidate{c.ID, spell(c.ID), c.LogProb})
			}
			o.Tokens = append(o.Tokens, token)
		}
		out = append(out, o)
	}
	return out
}

// finite returns the closest finite number, since JSON has no others: a length penalty can make
// scores infinite.
func finite(x float64) float64 { return min(max(x, -math.MaxFloat64), math.MaxFloat64) }

func (m *measured) timings() outputTimings {
	return outputTimings{Prefill: m.prefillSpeed(), Decode: m.decodeSpeed(), FirstToken: m.firstToken.Seconds()}
}

func describeCache(s kv.Stats) outputCache {
	return outputCache{
		Policy: s.Policy.String(), DeviceBytesPeak: s.DeviceBytesPeak, HostBytes: s.HostBytes, DiskBytes: s.DiskBytes,
		FetchedBytes: s.FetchedBytes, StoredBytes: s.StoredBytes, StallSeconds: s.Stall.Seconds(),
		ResidentLayers: s.ResidentLayers, StreamedLayers: s.StreamedLayers, WindowedLayers: s.WindowedLayers, SharedLayers: s.SharedLayers, RecurrentLayers: s.RecurrentLayers, StateBytes: s.StateBytes, StatesBytesPeak: s.StatesBytesPeak,
		StatesOffBytes: s.StatesOffBytes, Snapshots: s.Snapshots, SnapshotBytes: s.SnapshotBytes, Recomputed: s.RecomputedTokens, Demotions: s.Demotions,
	}
}
