package model

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/product"
)

// newHeader returns a loader that reads metadata alone.
func newHeader(f *gguf.File) *Loader {
	return &Loader{file: f, found: &found{keys: map[string]bool{}, tensors: map[string]bool{}}}
}

// ReadConfig reads from a file's header the part of a model's configuration that says what its K/V are:
// the vocabulary, and the attention of each layer. It needs neither weights nor a device, but the
// architectures of which the model may be.
func ReadConfig(f *gguf.File, known []Architecture) (Config, error) {
	architecture, err := Find(f.Architecture(), known)
	if err != nil {
		return Config{}, err
	}
	l := newHeader(f)
	hidden, layers := l.Int("embedding_length"), l.Layers()
	attention := architecture.Attention
	if attention == nil {
		attention = (*Loader).Attention
	}
	all := attention(l, hidden, layers)
	c := l.Config(hidden)
	c.Layers = all
	return c, l.Err()
}

// StepBytes returns the bytes of the weights that a step of one token reads, from a file's header: all
// of them, but the experts that the token does not go through, blocks that only draft tokens, and an
// embedding that is not the output matrix too, of which the step looks up one row, as it does of the
// layers' embeddings.
func StepBytes(f *gguf.File) (bytes int64) {
	l := newHeader(f)
	_, output := f.Tensor("output.weight")
	count, used := experts(f)
	for _, t := range f.Tensors() {
		switch {
		case t.Name == "token_embd.weight" && output, t.Name == "per_layer_token_embd.weight", l.drafts(t.Name):
		case ofExperts(t.Name):
			bytes += t.Size / count * used
		default:
			bytes += t.Size
		}
	}
	return bytes
}

// DraftBytes returns, from a file's header, the bytes of the blocks that only draft tokens.
func DraftBytes(f *gguf.File) (bytes int64) {
	l := newHeader(f)
	for _, t := range f.Tensors() {
		if l.drafts(t.Name) {
			bytes += t.Size
		}
	}
	return bytes
}

// ExpertBytes returns from a file's header, by layer, how many bytes the weights of the experts take that
// a router chooses from, and how many of them a step of one token reads: 0 of a layer without
// experts.
func ExpertBytes(f *gguf.File) (whole, read []int64) {
	whole, read = make([]int64, LayerCount(f)), make([]int64, LayerCount(f))
	count, used := experts(f)
	for _, t := range f.Tensors() {
		if l := layerOf(t.Name); l >= 0 && l < len(whole) && ofExperts(t.Name) {
			whole[l] += t.Size
			read[l] += t.Size / count * used
		}
	}
	return whole, read
}

// ofExperts reports whether a tensor has the weights of experts. Their scales belong to the router.
func ofExperts(name string) bool {
	return strings.Contains(name, "_exps.") && !strings.HasSuffix(name, ".scale")
}

// experts returns how many experts a layer has, and how many of them a token goes through in the layer
// with the most: 1 of 1 where the header says nothing sensible.
func experts(f *gguf.File) (count, used int64) {
	count, _ = f.Int(f.Architecture() + ".expert_count")
	used, err := f.Int(f.Architecture() + ".expert_used_count")
	if err != nil {
		if all, _ := f.Ints(f.Architecture() + ".expert_used_count"); len(all) > 0 {
			used = slices.Max(all)
		}
	}
	if used < 1 || used > count || count > maxExperts {
		return 1, 1
	}
	return count, used
}

// PackedBytes returns from a file's header how many bytes of the weights are packed where the CPU
// computes all layers, which is private memory: those that p takes, without the tables of which rows
// are looked up, and without the block that drafts tokens.
func PackedBytes(f *gguf.File, p product.Products) (bytes int64) {
	taken := func(t gguf.Tensor) bool {
		return len(t.Shape) >= 2 && p.Takes(ggml.Type(t.Type), t.Shape[0], t.Shape[1])
	}
	layers := LayerCount(f)
	whole := map[int]bool{} // by layer: all matrices of its experts are taken
	for _, t := range f.Tensors() {
		if l := layerOf(t.Name); ofExperts(t.Name) && len(t.Shape) == 3 {
			all, seen := whole[l]
			whole[l] = (all || !seen) && taken(t)
		}
	}
	_, own := f.Tensor("output.weight")
	for _, t := range f.Tensors() {
		l := layerOf(t.Name)
		switch {
		case !taken(t), l >= layers, t.Name == "token_embd.weight" && own, t.Name == "per_layer_token_embd.weight":
		case ofExperts(t.Name) && !whole[l]:
		default:
			bytes += t.Size
		}
	}
	return bytes
}

// layerOf returns the block that a tensor belongs to, -1 for none.
func layerOf(name string) int {
	l := -1
	if _, err := fmt.Sscanf(name, "blk.%d.", &l); err != nil {
		return -1
	}
	return l
}
