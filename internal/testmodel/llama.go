package testmodel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
)

// Llama returns a model of the llama architecture as the bytes of a GGUF file. The same options
// give the same weights on every platform before they are quantised; ggml quantises them. Types
// other than F32 load the library.
//
// A tensor's weights depend on the seed, its name and its shape alone: models that differ in Type,
// Layers or Tied share them. It panics if the options are not valid or the library is missing: a
// test is written with options that are.
func Llama(o Options) []byte {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		panic(fmt.Sprintf("testmodel: llama: %v", err))
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, o.metadata(), o.tensors()); err != nil {
		panic(fmt.Sprintf("testmodel: llama: %v", err))
	}
	return b.Bytes()
}

// WriteFile writes Llama(o) into a folder that is removed when the test ends, and returns the
// file's path.
func WriteFile(tb testing.TB, o Options) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "llama.gguf")
	if err := os.WriteFile(path, Llama(o), 0o600); err != nil {
		tb.Fatalf("testmodel: %v", err)
	}
	return path
}

func (o Options) metadata() []gguf.KV {
	u32 := func(n int) uint32 { return uint32(n) }
	meta := []gguf.KV{
		{Key: "general.architecture", Value: "llama"},
		{Key: "general.name", Value: fmt.Sprintf("testmodel-%d", o.Seed)},
		{Key: "llama.context_length", Value: u32(o.Context)},
		{Key: "llama.embedding_length", Value: u32(o.Hidden)},
		{Key: "llama.block_count", Value: u32(o.Layers)},
		{Key: "llama.feed_forward_length", Value: u32(o.FF)},
		{Key: "llama.attention.head_count", Value: u32(o.Heads)},
		{Key: "llama.attention.head_count_kv", Value: u32(o.KVHeads)},
		{Key: "llama.vocab_size", Value: u32(o.Vocab)},
		{Key: "llama.rope.freq_base", Value: float32(10000)},
		{Key: "llama.attention.layer_norm_rms_epsilon", Value: float32(1e-5)},
		{Key: "llama.attention.key_length", Value: u32(o.HeadDim)},
		{Key: "llama.attention.value_length", Value: u32(o.HeadDim)},
		{Key: "llama.rope.dimension_count", Value: u32(o.HeadDim)},
		{Key: "general.file_type", Value: fileType(o.Type)},
	}
	return append(meta, Tokenizer(o.Vocab)...)
}

// fileType returns llama.cpp's number for a file whose matrices are mostly of type t, which tools
// only print.
func fileType(t ggml.Type) uint32 {
	switch t {
	case ggml.F32:
		return 0
	case ggml.F16:
		return 1
	case ggml.Q4_0:
		return 2
	case ggml.Q4_1:
		return 3
	case ggml.Q8_0:
		return 7
	case ggml.Q5_0:
		return 8
	case ggml.Q5_1:
		return 9
	case ggml.Q2_K:
		return 10
	case ggml.Q3_K:
		return 11
	case ggml.Q4_K:
		return 14
	case ggml.Q5_K:
		return 16
	case ggml.Q6_K:
		return 18
	case ggml.BF16:
		return 32
	default:
		return 1024 // "guessed"
	}
}

// Gains of the golden models: standard deviations of a matrix's weights, times the root of its row
// length, so that a row times a normalised vector has about that deviation.
const (
	gainQK   = 1.5 // scores spread enough that softmax is not flat
	gainV    = 1.2
	gainOut  = 1.3 // of the attention and of the three feed-forward matrices
	gainHead = 2.8 // logits spread enough that the best two seldom tie

	gainEmbed     = 0.5 // a deviation as it is: rows are looked up, not multiplied
	gainTied      = 2.0 // with normTied the logits of a tied model spread like gainHead
	normTied      = 0.4 // added to the output norm's weights
	normDeviation = 0.2
	normMost      = 0.6
)

func (o Options) tensors() []gguf.TensorData {
	root := math.Sqrt(float64(o.Hidden))
	embed, norm := gainEmbed*root, 1.0
	if o.Tied {
		embed, norm = gainTied, 1+normTied
	}
	q, kv := o.Heads*o.HeadDim, o.KVHeads*o.HeadDim

	ts := []gguf.TensorData{o.matrix("token_embd", o.Hidden, o.Vocab, embed)}
	for l := range o.Layers {
		name := func(s string) string { return fmt.Sprintf("blk.%d.%s", l, s) }
		ts = append(ts,
			o.norm(name("attn_norm"), 1),
			o.matrix(name("attn_q"), o.Hidden, q, gainQK),
			o.matrix(name("attn_k"), o.Hidden, kv, gainQK),
			o.matrix(name("attn_v"), o.Hidden, kv, gainV),
			o.matrix(name("attn_output"), q, o.Hidden, gainOut),
			o.norm(name("ffn_norm"), 1),
			o.matrix(name("ffn_gate"), o.Hidden, o.FF, gainOut),
			o.matrix(name("ffn_up"), o.Hidden, o.FF, gainOut),
			o.matrix(name("ffn_down"), o.FF, o.Hidden, gainOut),
		)
	}
	ts = append(ts, o.norm("output_norm", norm))
	if !o.Tied {
		ts = append(ts, o.matrix("output", o.Hidden, o.Vocab, gainHead))
	}
	return ts
}

// matrix makes a matrix of the options' type with rows of in weights, whose deviation is gain over
// the root of in.
func (o Options) matrix(name string, in, out int, gain float64) gguf.TensorData {
	w := normals(o.Seed, name, in*out, gain/math.Sqrt(float64(in)))
	return gguf.TensorData{
		Name:  name + ".weight",
		Type:  gguf.Type(o.Type),
		Shape: []int64{int64(in), int64(out)},
		Data:  encode(o.Type, w, in),
	}
}

// norm makes the weights of a norm, spread around mean.
func (o Options) norm(name string, mean float64) gguf.TensorData {
	w := normals(o.Seed, name, o.Hidden, normDeviation)
	for i, x := range w {
		w[i] = float32(mean + min(max(float64(x), -normMost), normMost))
	}
	return gguf.TensorData{Name: name + ".weight", Type: gguf.F32, Shape: []int64{int64(o.Hidden)}, Data: encode(ggml.F32, w, len(w))}
}

// encode returns the bytes of weights in rows of n as type t.
func encode(t ggml.Type, w []float32, n int) []byte {
	if t == ggml.F32 { // needs no library
		data := make([]byte, 0, 4*len(w))
		for _, x := range w {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
		}
		return data
	}
	data, err := ggml.Quantize(t, w, int64(n))
	if err != nil {
		panic(fmt.Sprintf("testmodel: %v", err))
	}
	return data
}
