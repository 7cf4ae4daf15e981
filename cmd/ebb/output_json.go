package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strconv"

	"github.com/seed4d217819/ebb/kv"
)

// output is what --output json prints. Scripts read it: names stay.
type output struct {
	Sequences []outputSequence `json:"sequences"`
	Logits    []logits         `json:"logits,omitempty"` // after the prompt's last tokens, the last one last
	Timings   outputTimings    `json:"timings"`
	Cache     outputCache      `json:"cache"`
	Error     string           `json:"error,omitempty"` // what ended the text early
}

type outputSequence struct {
	IDs         []int32 `json:"ids"` // new tokens only
	Text        string  `json:"text"`
	Score       float64 `json:"score"`        // sum of the new tokens' log probabilities
	BeamIndices []int32 `json:"beam_indices"` // none: the search is greedy
}

type outputTimings struct {
	Prefill    float64 `json:"prefill_tokens_per_second"`
	Decode     float64 `json:"decode_tokens_per_second"` // 0 if there are fewer than two tokens
	FirstToken float64 `json:"time_to_first_token_seconds"`
}

type outputCache struct {
	Policy          string  `json:"policy"`
	DeviceBytesPeak int64   `json:"device_bytes_peak"`
	HostBytes       int64   `json:"host_bytes"`
	FetchedBytes    int64   `json:"fetched_bytes"`
	StoredBytes     int64   `json:"stored_bytes"`
	StallSeconds    float64 `json:"stall_seconds"`
	ResidentLayers  int     `json:"resident_layers"`
	StreamedLayers  int     `json:"streamed_layers"`
}

// logits are written as the shortest decimals that give the same float32. JSON has no other numbers than finite ones:
// -Inf is null, the others are "inf" and "nan".
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
func printJSON(w io.Writer, a *answer, s kv.Stats, err error) error {
	out := output{
		Sequences: []outputSequence{{IDs: a.ids, Text: a.text, Score: a.score, BeamIndices: []int32{}}},
		Timings: outputTimings{
			Prefill: a.prefillSpeed(), Decode: a.decodeSpeed(), FirstToken: a.firstToken.Seconds(),
		},
		Cache: outputCache{
			Policy: s.Policy.String(), DeviceBytesPeak: s.DeviceBytesPeak, HostBytes: s.HostBytes,
			FetchedBytes: s.FetchedBytes, StoredBytes: s.StoredBytes, StallSeconds: s.Stall.Seconds(),
			ResidentLayers: s.ResidentLayers, StreamedLayers: s.StreamedLayers,
		},
	}
	if a.ids == nil {
		out.Sequences[0].IDs = []int32{}
	}
	for _, row := range a.logits {
		out.Logits = append(out.Logits, row)
	}
	if err != nil {
		out.Error = err.Error()
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(out); err != nil {
		return err
	}
	_, err = w.Write(text.Bytes())
	return err
}
