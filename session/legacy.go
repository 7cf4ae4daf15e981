package session

import (
	"fmt"
	"strconv"

	"github.com/seed4d217819/ebb/tier"
)

// Hugging Face's legacy layout is a key and a value for each layer, both of the shape (batch, KV heads,
// tokens, dim). A file has these tensors under the names that ONNX exports of transformers models use,
// and the ids beside them:
//
//	past_key_values.N.key, past_key_values.N.value   (batch, KV heads, tokens, dim) F32, F16 or BF16
//	input_ids                                        (batch, tokens) I64
//
// Its metadata say what the K/V belong to. A file from elsewhere may lack them.
const (
	idsName = "input_ids"
	idBytes = 8

	metaFormat       = "format"       // pt: what transformers looks for
	metaArchitecture = "architecture" // the fields of Header
	metaWeights      = "weights"
	metaRoPE         = "rope"
	metaAttached     = "attached"
)

func keyName(layer int) string   { return "past_key_values." + strconv.Itoa(layer) + ".key" }
func valueName(layer int) string { return "past_key_values." + strconv.Itoa(layer) + ".value" }

// interleaved returns where Hugging Face has the values of a key: the value i of the model's file is the
// value order[i] there.
//
// RoPE turns pairs of values. Hugging Face pairs value i with value i + dim/2. Files of some
// architectures have the rows of their query and key matrices in another order, in which the pairs are
// neighbours (permute in llama.cpp's convert_hf_to_gguf.py).
func interleaved(dim int) []int {
	order := make([]int, dim)
	for i := range order {
		order[i] = i/2 + i%2*(dim/2)
	}
	return order
}

// part is the keys or the values of one layer: how a session and a file of tensors have them.
type part struct {
	what   string // for errors: key or value
	tensor tensor
	heads  int
	dim    int
	kept   valueType // in the session
	other  valueType // in the file of tensors
	order  []int     // see interleaved; nil: the same
}

// piece returns the bytes of one token in one head: in the session, and in the file of tensors.
func (p part) piece() (kept, other int64) {
	return int64(p.kept.size(p.dim)), int64(p.other.size(p.dim))
}

// place returns where the file of tensors has a token of a head of one sequence of the batch.
func (p part) place(row, head, token int) int64 {
	tokens := p.tensor.shape[2]
	_, piece := p.piece()
	return p.tensor.at + ((int64(row)*int64(p.heads)+int64(head))*tokens+int64(token))*piece
}

// reorder puts values of some tokens, in the session's order, into Hugging Face's, or with back the
// other way round. It uses room for one token.
func (p part) reorder(values, room []float32, back bool) {
	if p.order == nil {
		return
	}
	for ; len(values) > 0; values = values[p.dim:] {
		copy(room, values[:p.dim])
		for i, at := range p.order {
			if back {
				values[i] = room[at]
			} else {
				values[at] = room[i]
			}
		}
	}
}

// In returns the header of the same rows in other types of keys and values.
func (h Header) In(k, v string) (Header, error) {
	types := [2]valueType{}
	for i, name := range [...]string{k, v} {
		var err error
		if types[i], err = typeNamed(name); err != nil {
			return h, err
		}
	}
	layers := make([]tier.Layout, len(h.Layers))
	for l := range h.Layers {
		parts, err := h.parts(l, false)
		if err != nil {
			return h, err
		}
		for i, p := range parts {
			if p.dim%types[i].values != 0 {
				return h, fmt.Errorf("session: a %s of %d values is not a multiple of %d, the block of %s: use f32, f16 or bf16", p.what, p.dim, types[i].values, types[i].name)
			}
		}
		layers[l] = tier.Layout{
			Heads: parts[0].heads, KeyBytes: int64(types[0].size(parts[0].dim)), ValueBytes: int64(types[1].size(parts[1].dim)),
		}
	}
	h.TypeK, h.TypeV, h.Layers = k, v, layers
	return h, nil
}

// parts returns the keys and values of a layer of a session with this header.
func (h Header) parts(layer int, isInterleaved bool) (parts [2]part, err error) {
	l := h.Layers[layer]
	for i, p := range [...]struct {
		what, name, typ string
		bytes           int64
	}{{"key", keyName(layer), h.TypeK, l.KeyBytes}, {"value", valueName(layer), h.TypeV, l.ValueBytes}} {
		kept, err := typeNamed(p.typ)
		if err != nil {
			return parts, err
		}
		parts[i] = part{what: p.what, tensor: tensor{name: p.name}, heads: l.Heads, dim: kept.dim(p.bytes), kept: kept}
		if parts[i].dim < 1 || int64(kept.size(parts[i].dim)) != p.bytes {
			return parts, fmt.Errorf("session: layer %d: a %s of %d bytes is not made of %s", layer, p.what, p.bytes, kept.name)
		}
	}
	if isInterleaved {
		if parts[0].dim%2 != 0 {
			return parts, fmt.Errorf("session: layer %d: keys of %d values have no pairs", layer, parts[0].dim)
		}
		parts[0].order = interleaved(parts[0].dim)
	}
	return parts, nil
}

// scratch is room for the values of a block in one head.
type scratch struct {
	bytes  []byte
	values []float32
	token  []float32
}

func (s *scratch) grow(cells, dim int, piece int64) {
	if n := int64(cells) * piece; int64(len(s.bytes)) < n {
		s.bytes = make([]byte, n)
	}
	if n := cells * dim; len(s.values) < n {
		s.values = make([]float32, n)
	}
	if len(s.token) < dim {
		s.token = make([]float32, dim)
	}
}
