package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/plan"
	"github.com/seed4d217819/ebb/product"
)

// summary is what ebb inspect prints about a model. Fields that the file does not have are zero.
type summary struct {
	Name         string        `json:"name,omitempty"`
	Architecture string        `json:"architecture"`
	Version      int           `json:"gguf_version"`
	Parameters   int64         `json:"parameters"`
	Tensors      int           `json:"tensors"`
	Bytes        int64         `json:"bytes"`                  // of the tensors
	Packed       int64         `json:"packed_bytes,omitempty"` // of these, in private memory where this CPU computes
	Types        []typeSummary `json:"types"`                  // the most bytes first
	Files        []fileSummary `json:"files"`                  // the parts that the model is split into; one, for most

	Layers      int             `json:"layers"`
	Hidden      int             `json:"hidden"`
	FeedForward []int64         `json:"feed_forward"` // one for all layers, or one a layer
	Experts     *expertsSummary `json:"experts,omitempty"`
	Heads       []int64         `json:"heads"`    // like FeedForward
	KVHeads     []int64         `json:"kv_heads"` // like FeedForward
	KeyDim      int64           `json:"key_dim"`
	ValueDim    int64           `json:"value_dim"`
	Context     int             `json:"context"`
	Kinds       []layerKind     `json:"kinds,omitempty"` // of layers, by their K/V

	KVBytes   []kvBytes        `json:"kv_bytes"`
	State     int64            `json:"state_bytes,omitempty"` // of one sequence in the recurrent layers
	Drafts    bool             `json:"drafts,omitempty"`      // whether the file has a block that --mtp uses
	Tokenizer tokenizerSummary `json:"tokenizer"`
	Template  *string          `json:"chat_template"`

	layers     []model.Layer // nil if the header does not say what they keep
	vocabulary int           // tokens: those of the tokenizer, or else rows of the embedding
	fault      error         // why it does not
}

// typeSummary is the tensors of one type.
type typeSummary struct {
	Type    string `json:"type"`
	Tensors int    `json:"tensors"`
	Bytes   int64  `json:"bytes"`
}

// fileSummary is one of the model's files.
type fileSummary struct {
	Path    string `json:"path"`
	Tensors int    `json:"tensors"`
	Bytes   int64  `json:"bytes"` // of the file
}

// kvBytes is what K/V of a type take in all layers: what grows with the context, what does not, and what
// lies in host memory because no later token sees it. All are 0 if heads cannot be kept in the type.
type kvBytes struct {
	Type     string `json:"type"`
	PerToken int64  `json:"per_token"`                        // on the device
	Fixed    int64  `json:"fixed,omitempty"`                  // on the device, for the windows of layers
	Past     int64  `json:"past_windows_per_token,omitempty"` // off the device

	whole, past int64 // of the model's whole context, on the device and off it
}

type tokenizerSummary struct {
	Model  string        `json:"model"`
	Pre    string        `json:"pre,omitempty"` // how text is split before it is tokenized
	Tokens int           `json:"tokens"`
	BOS    *specialToken `json:"bos"`
	EOS    *specialToken `json:"eos"`
}

type specialToken struct {
	name string
	ID   int64  `json:"id"`
	Text string `json:"text"`
}

// summarize reads a model's metadata. A value that is missing or has an unexpected type is left
// out: only the model's loader insists on it.
func summarize(f *gguf.File) summary {
	s := summary{Architecture: f.Architecture(), Version: f.Version(), Types: []typeSummary{}}
	s.Name, _ = f.String("general.name")
	for _, t := range f.Tensors() {
		s.Tensors++
		s.Parameters += t.Elements()
		s.Bytes += t.Size
		i := slices.IndexFunc(s.Types, func(sum typeSummary) bool { return sum.Type == t.Type.String() })
		if i < 0 {
			i = len(s.Types)
			s.Types = append(s.Types, typeSummary{Type: t.Type.String()})
		}
		s.Types[i].Tensors++
		s.Types[i].Bytes += t.Size
	}
	slices.SortStableFunc(s.Types, func(a, b typeSummary) int { return cmp.Compare(b.Bytes, a.Bytes) })

	s.Packed = packedBytes(f)
	for _, p := range f.Parts() {
		s.Files = append(s.Files, fileSummary{p.Path, p.Tensors, p.Size})
	}

	own := func(key string) string { return s.Architecture + "." + key }
	number := func(key string) int64 { n, _ := f.Int(own(key)); return n }
	s.Hidden, s.Context = int(number("embedding_length")), int(number("context_length"))
	s.Layers = int(number("block_count") - number("nextn_predict_layers")) // the last blocks only draft tokens
	s.FeedForward = perLayer(f, own("feed_forward_length"))
	s.Experts = summarizeExperts(f, s.Architecture)
	s.Heads = perLayer(f, own("attention.head_count"))
	if s.KVHeads = perLayer(f, own("attention.head_count_kv")); s.KVHeads == nil {
		s.KVHeads = s.Heads
	}
	for _, list := range []*[]int64{&s.FeedForward, &s.Heads, &s.KVHeads} {
		if len(*list) == int(number("block_count")) { // with numbers for blocks that only draft tokens
			*list = (*list)[:max(s.Layers, 0)]
		}
	}
	s.KeyDim, s.ValueDim = number("attention.key_length"), number("attention.value_length")
	if len(s.Heads) > 0 && s.Heads[0] > 0 {
		split := int64(s.Hidden) / s.Heads[0]
		s.KeyDim, s.ValueDim = cmp.Or(s.KeyDim, split), cmp.Or(s.ValueDim, split)
	}
	s.layers, s.fault = readLayers(f, s)
	s.Kinds = kindsOf(s.layers)
	for _, l := range s.layers {
		s.State += stateBytes(l)
	}
	_, err := ebb.ReadBlock(f)
	s.Drafts = err == nil
	for _, t := range kvTypes {
		s.KVBytes = append(s.KVBytes, s.bytesIn(t))
	}
	s.Tokenizer = summarizeTokenizer(f)
	s.vocabulary = s.Tokenizer.Tokens
	if t, ok := f.Tensor("token_embd.weight"); ok && s.vocabulary == 0 && len(t.Shape) == 2 && t.Shape[1] <= maxWidth {
		s.vocabulary = int(t.Shape[1])
	}
	if template, err := f.String("tokenizer.chat_template"); err == nil {
		s.Template = &template
	}
	return s
}

// packedBytes returns how many bytes of the weights are packed where this CPU computes: none if the
// instruction set that the environment names is wrong, which opening a model reports.
func packedBytes(f *gguf.File) int64 {
	set, err := isa.Parse(os.Getenv(isa.Variable))
	if err != nil {
		return 0
	}
	return model.PackedBytes(f, product.Of(set))
}

// perLayer returns a value that is one number for all layers or an array of one a layer.
func perLayer(f *gguf.File, key string) []int64 {
	if n, err := f.Int(key); err == nil {
		return []int64{n}
	}
	list, _ := f.Ints(key)
	return list
}

// bytesIn returns what K/V take in a type.
func (s summary) bytesIn(t gguf.Type) kvBytes {
	layers, ok := planLayers(s.layers, t)
	if !ok {
		return kvBytes{Type: t.String()}
	}
	k := plan.Cache{Layers: layers, Cells: s.Context}.Kinds()
	return kvBytes{t.String(), k.TokenBytes, k.RingBytes, k.PastBytes, k.Device(s.Context), k.Past(s.Context)}
}

func summarizeTokenizer(f *gguf.File) tokenizerSummary {
	tokens, _ := f.Strings("tokenizer.ggml.tokens")
	s := tokenizerSummary{Tokens: len(tokens)}
	s.Model, _ = f.String("tokenizer.ggml.model")
	s.Pre, _ = f.String("tokenizer.ggml.pre")
	special := func(name, key string) *specialToken {
		id, err := f.Int(key)
		if err != nil || id < 0 || id >= int64(len(tokens)) {
			return nil
		}
		return &specialToken{name, id, tokens[id]}
	}
	s.BOS = special("begins with", "tokenizer.ggml.bos_token_id")
	s.EOS = special("ends with", "tokenizer.ggml.eos_token_id")
	return s
}

// describe names the tokenizer.
func (s tokenizerSummary) describe() string {
	if s.Pre == "" {
		return shown(s.Model)
	}
	return shown(s.Model) + ", splits like " + shown(s.Pre)
}

// special returns the special tokens that there are.
func (s tokenizerSummary) special() (tokens []*specialToken) {
	for _, t := range []*specialToken{s.BOS, s.EOS} {
		if t != nil {
			tokens = append(tokens, t)
		}
	}
	return tokens
}

// spanOf writes a number that all layers have in common, or the smallest and the largest.
func spanOf(perLayer []int64) string {
	if len(perLayer) == 0 {
		return "unknown"
	}
	least, most := slices.Min(perLayer), slices.Max(perLayer)
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d to %d", least, most)
}
