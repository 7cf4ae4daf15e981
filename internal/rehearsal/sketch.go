package rehearsal

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/plan"
)

// sketch writes a model with the shapes and some layers of the one that has the header, and weights that
// are a few random rows again and again. of are all layers' K/V.
func sketch(w io.Writer, header *gguf.File, of []plan.Layer, layers []int) error {
	all, err := header.Int(header.Architecture() + ".block_count")
	if err != nil {
		return err
	}
	rows := patterns{}
	var tensors []gguf.TensorData
	for _, t := range header.Tensors() {
		name := t.Name
		if l, ok := layerOf(name); ok {
			at := slices.Index(layers, l)
			if at < 0 {
				continue
			}
			name = fmt.Sprintf("blk.%d%s", at, strings.TrimPrefix(name, fmt.Sprintf("blk.%d", l)))
		}
		t = cut(t, int(all), len(layers))
		data, err := rows.fill(t)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		tensors = append(tensors, gguf.TensorData{Name: name, Type: t.Type, Shape: t.Shape, Data: data})
	}
	return gguf.Write(w, metadata(header, int(all), of, layers), tensors)
}

// byLayer are tensors that have a part for each layer, by their dimension that is as long as all parts:
// embeddings of a layer's own (Gemma 3n, Gemma 4 E).
var byLayer = map[string]int{"per_layer_token_embd.weight": 0, "per_layer_model_proj.weight": 1}

// cut returns a tensor with parts for some of all layers, if it is one with a part for each.
func cut(t gguf.Tensor, all, layers int) gguf.Tensor {
	dim, is := byLayer[t.Name]
	if !is || dim >= len(t.Shape) || all < 1 {
		return t
	}
	t.Shape = slices.Clone(t.Shape)
	t.Shape[dim] = t.Shape[dim] / int64(all) * int64(layers)
	t.Size = t.Type.RowSize(t.Shape[0])
	for _, n := range t.Shape[1:] {
		t.Size *= n
	}
	return t
}

// metadata returns the header's metadata for some of its layers: lists by layer have the values of
// those, blocks that draft tokens are gone, and where some layers have a window a list says which. So does
// a list of recurrent layers, unless the numbers of KV heads say which these are.
func metadata(header *gguf.File, all int, of []plan.Layer, layers []int) (meta []gguf.KV) {
	own := header.Architecture() + "."
	const pattern = "attention.sliding_window_pattern"
	var windowed []bool
	shared := uint32(0)
	for _, l := range layers {
		if l < len(of) && of[l].Shares {
			shared++
		}
	}
	some := func(window bool) bool {
		return slices.ContainsFunc(of, func(l plan.Layer) bool { return l.Window > 0 == window })
	}
	_, listed := header.Value(own + pattern)
	if some(true) && (some(false) || listed) { // not all architectures whose layers all have one read a list
		for _, l := range layers {
			windowed = append(windowed, of[l].Window > 0)
		}
		meta = append(meta, gguf.KV{Key: own + pattern, Value: windowed})
	}
	const recurrences, interval = "attention.recurrent_layers", "full_attention_interval"
	heads, _ := header.Value(own + "attention.head_count_kv")
	marked := heads.Kind() != gguf.KindArray && slices.ContainsFunc(of, recurrent)
	if marked {
		var marks []bool
		for _, l := range layers {
			marks = append(marks, recurrent(of[l]))
		}
		meta = append(meta, gguf.KV{Key: own + recurrences, Value: marks})
	}
	for key, value := range header.Metadata() {
		switch v := value.Any(); {
		case strings.HasPrefix(key, "split."): // the sketch is one file
		case key == own+pattern && windowed != nil:
		case marked && (key == own+recurrences || key == own+interval):
		case key == own+"block_count":
			meta = append(meta, gguf.KV{Key: key, Value: uint32(len(layers))})
		case key == own+"nextn_predict_layers":
			meta = append(meta, gguf.KV{Key: key, Value: uint32(0)})
		case key == own+"attention.shared_kv_layers":
			meta = append(meta, gguf.KV{Key: key, Value: shared})
		case strings.HasPrefix(key, own) && value.Kind() == gguf.KindArray && value.Len() == all:
			from := reflect.ValueOf(v)
			list := reflect.MakeSlice(from.Type(), 0, len(layers))
			for _, l := range layers {
				list = reflect.Append(list, from.Index(l))
			}
			meta = append(meta, gguf.KV{Key: key, Value: list.Interface()})
		default:
			meta = append(meta, gguf.KV{Key: key, Value: v})
		}
	}
	return meta
}

// HeadBytes returns the bytes of the matrix that logits are computed with.
func HeadBytes(header *gguf.File) int64 {
	for _, name := range []string{"output.weight", "token_embd.weight"} {
		if t, ok := header.Tensor(name); ok {
			return t.Size
		}
	}
	return 0
}

// layerBytes returns the bytes of each of all layers, and of all tensors that belong to none of them and
// are loaded.
func layerBytes(header *gguf.File, all int) (layers []int64, others int64) {
	layers = make([]int64, all)
	parts := int64(0) // of a layer, in tensors that have one of each
	for _, t := range header.Tensors() {
		l, ok := layerOf(t.Name)
		switch _, is := byLayer[t.Name]; {
		case ok && l < all:
			layers[l] += t.Size
		case ok: // of a block that drafts tokens
		case is:
			parts += t.Size / int64(max(1, all))
		default:
			others += t.Size
		}
	}
	for l := range layers {
		layers[l] += parts
	}
	return layers, others
}

// layerOf returns the layer that a tensor belongs to, if it belongs to one.
func layerOf(name string) (layer int, ok bool) {
	rest, ok := strings.CutPrefix(name, "blk.")
	if !ok {
		return 0, false
	}
	number, _, _ := strings.Cut(rest, ".")
	layer, err := strconv.Atoi(number)
	return layer, err == nil
}

// patterns are the bytes of tensors, by type and length of a row: the longest that were made.
type patterns map[pattern][]byte

type pattern struct {
	typ gguf.Type
	row int64 // values
}

// patternRows is how many rows are random; they are repeated, as quantising takes time.
const patternRows = 4

// fill returns the bytes of a tensor. They are shared with other tensors. Vectors, which norms and
// the factors of RoPE are, are all ones.
func (p patterns) fill(t gguf.Tensor) ([]byte, error) {
	at := pattern{t.Type, t.Shape[0]}
	if len(t.Shape) == 1 && t.Type == gguf.F32 {
		return ones(int(t.Shape[0])), nil
	}
	have := p[at]
	if len(have) == 0 {
		weights := make([]float32, patternRows*at.row)
		random := rand.New(rand.NewPCG(1, uint64(at.row)))
		for i := range weights {
			weights[i] = float32(random.NormFloat64() / math.Sqrt(float64(at.row)))
		}
		var err error
		if have, err = ggml.Quantize(ggml.Type(t.Type), weights, at.row); err != nil {
			return nil, err
		}
	}
	for int64(len(have)) < t.Size {
		have = append(have, have[:min(int64(len(have)), t.Size-int64(len(have)))]...)
	}
	p[at] = have
	return have[:t.Size], nil
}

func ones(n int) []byte {
	data := make([]byte, 0, 4*n)
	for range n {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(1))
	}
	return data
}
