package families

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// Family is a kind of models, with the shape of one member.
type Family struct {
	Name   string // as in qwen3-8b
	Member string // as in Qwen3 8B
	Of     int    // layers of the member

	Architecture string
	Layers       int
	Hidden       int
	Heads        int
	KVHeads      int
	HeadDim      int
	FF           int  // width of a feed-forward network that all tokens go through; 0: there is none
	Experts      int  // of a layer; 0: none
	Used         int  // of them, by a token
	ExpertFF     int  // width of an expert
	Dense        int  // first layers without experts
	Window       int  // tokens that layers with a window see; 0: there are none
	FullHeadDim  int  // of layers without a window, where it is another than HeadDim
	FullKVHeads  int  // of these layers
	Tied         bool // the output matrix is the embedding
	Vocab        int  // tokens; 0: the constant Vocab
	Whole        bool // it has all of the member's layers, and is measured only where it is named
	Recurrence   Recurrence

	add       func(*file, Family)
	embedding ggml.Type // of the embedding; F32: the one that files of type Q4_K_M have
}

// Vocab is the number of tokens of most models here.
const Vocab = 4096

// contextLength is what all models here claim to know.
const contextLength = 1 << 17

// All returns all families.
func All() []Family { return append(parts(), whole()...) }

// parts returns the families of which a few layers are measured.
func parts() []Family {
	return []Family{
		{Name: "qwen2-7b", Member: "Qwen2.5 7B", Of: 28, Architecture: "qwen2", Layers: 2, Hidden: 3584, Heads: 28, KVHeads: 4, HeadDim: 128, FF: 18944, add: qwen2},
		{Name: "qwen3-8b", Member: "Qwen3 8B", Of: 36, Architecture: "qwen3", Layers: 2, Hidden: 4096, Heads: 32, KVHeads: 8, HeadDim: 128, FF: 12288, add: qwen3},
		{Name: "qwen3moe-30b-a3b", Member: "Qwen3-30B-A3B", Of: 48, Architecture: "qwen3moe", Layers: 2, Hidden: 2048, Heads: 32, KVHeads: 4, HeadDim: 128, Experts: 128, Used: 8, ExpertFF: 768, add: qwen3moe},
		{Name: "glm4moe-air", Member: "GLM-4.5-Air with a quarter of its experts", Of: 46, Architecture: "glm4moe", Layers: 2, Hidden: 4096, Heads: 96, KVHeads: 8, HeadDim: 128, FF: 10944, Experts: 32, Used: 8, ExpertFF: 1408, Dense: 1, add: glm4moe},
		{Name: "gemma3-4b", Member: "Gemma 3 4B", Of: 34, Architecture: "gemma3", Layers: 2, Hidden: 2560, Heads: 8, KVHeads: 4, HeadDim: 256, FF: 10240, Window: 1024, Tied: true, add: gemma3},
		{Name: "gemma3-27b", Member: "Gemma 3 27B", Of: 62, Architecture: "gemma3", Layers: 2, Hidden: 5376, Heads: 32, KVHeads: 16, HeadDim: 128, FF: 21504, Window: 1024, Tied: true, add: gemma3},
		{Name: "gemma4-31b", Member: "Gemma 4 31B", Of: 60, Architecture: "gemma4", Layers: 2, Hidden: 5376, Heads: 32, KVHeads: 16, HeadDim: 256, FF: 21504, Window: 1024, FullHeadDim: 512, FullKVHeads: 4, Tied: true, add: gemma4},
		{Name: "gemma4-26b-a4b", Member: "Gemma 4 26B-A4B with a quarter of its experts", Of: 30, Architecture: "gemma4", Layers: 2, Hidden: 2816, Heads: 16, KVHeads: 8, HeadDim: 256, FF: 2112, Experts: 32, Used: 8, ExpertFF: 704, Window: 1024, FullHeadDim: 512, FullKVHeads: 2, Tied: true, add: gemma4},
		{Name: "gpt-oss-20b", Member: "gpt-oss-20b", Of: 24, Architecture: "gpt-oss", Layers: 2, Hidden: 2880, Heads: 64, KVHeads: 8, HeadDim: 64, Experts: 32, Used: 4, ExpertFF: 2880, Window: 128, add: gptoss},
		{Name: "qwen35-9b", Member: "Qwen3.5 9B", Of: 32, Architecture: "qwen35", Layers: 8, Hidden: 4096, Heads: 16, KVHeads: 4, HeadDim: 256, FF: 12288, Recurrence: Recurrence{Size: 128, KeyHeads: 16, Heads: 32}, add: qwen35},
		{Name: "qwen35moe-35b-a3b", Member: "Qwen3.5 35B-A3B with a quarter of its experts", Of: 40, Architecture: "qwen35moe", Layers: 8, Hidden: 2048, Heads: 16, KVHeads: 2, HeadDim: 256, Experts: 64, Used: 8, ExpertFF: 512, Recurrence: Recurrence{Size: 128, KeyHeads: 16, Heads: 32}, add: qwen35moe},
		{Name: "mistral3-8b", Member: "Ministral 3 8B", Of: 34, Architecture: "mistral3", Layers: 2, Hidden: 4096, Heads: 32, KVHeads: 8, HeadDim: 128, FF: 14336, add: mistral3},
		{Name: "phi4-14b", Member: "Phi-4 14B", Of: 40, Architecture: "phi3", Layers: 2, Hidden: 5120, Heads: 40, KVHeads: 10, HeadDim: 128, FF: 17920, add: phi3},
		{Name: "smollm3-3b", Member: "SmolLM3 3B", Of: 36, Architecture: "smollm3", Layers: 4, Hidden: 2048, Heads: 16, KVHeads: 4, HeadDim: 128, FF: 11008, add: smollm3},
		{Name: "granite-8b", Member: "Granite 3.3 8B", Of: 40, Architecture: "granite", Layers: 2, Hidden: 4096, Heads: 32, KVHeads: 8, HeadDim: 128, FF: 12800, add: granite},
	}
}

// Find returns the families with these names; no names: all but those that are measured only where
// they are named.
func Find(names ...string) ([]Family, error) {
	if len(names) == 0 {
		return parts(), nil
	}
	all := All()
	var found []Family
	for _, name := range names {
		before := len(found)
		for _, f := range all {
			if f.Name == name {
				found = append(found, f)
			}
		}
		if len(found) == before {
			return nil, fmt.Errorf("bench: unknown family %q: want some of %s", name, strings.Join(Names(), ", "))
		}
	}
	return found, nil
}

// Names returns the names of all families.
func Names() (names []string) {
	for _, f := range All() {
		names = append(names, f.Name)
	}
	return names
}

// Small returns the family with widths that take little time: for tests.
func (f Family) Small() Family {
	groups, whole := f.Heads/f.KVHeads, f.Heads*f.HeadDim == f.Hidden // some files have no head dimension but this
	f.Hidden, f.KVHeads, f.Heads, f.Vocab = 512, 2, 2*groups, Vocab
	f.Layers = min(f.Layers, 8)
	if whole {
		f.Hidden = f.Heads * f.HeadDim
	}
	if f.FullHeadDim > 0 {
		f.FullKVHeads = 1
	}
	if f.FF > 0 {
		f.FF = 768
	}
	if f.Experts > 0 {
		f.Experts, f.Used, f.ExpertFF = 16, 4, 256
	}
	if f.Hybrid() {
		f.Recurrence = Recurrence{Size: 32, KeyHeads: 2, Heads: 4}
	}
	return f
}

// vocab returns the number of tokens.
func (f Family) vocab() int { return cmp.Or(f.Vocab, Vocab) }

// About says what the model is, as in "Qwen3 8B, 2 of 36 layers".
func (f Family) About() string { return fmt.Sprintf("%s, %d of %d layers", f.Member, f.Layers, f.Of) }

// metadata returns what files of all architectures say.
func (f Family) metadata() []gguf.KV {
	meta := []gguf.KV{
		{Key: "general.architecture", Value: f.Architecture},
		{Key: "general.name", Value: f.Name},
	}
	key := func(name string, value any) {
		meta = append(meta, gguf.KV{Key: f.Architecture + "." + name, Value: value})
	}
	key("context_length", uint32(contextLength))
	key("vocab_size", uint32(f.vocab()))
	key("embedding_length", uint32(f.Hidden))
	key("block_count", uint32(f.Layers))
	key("feed_forward_length", uint32(f.FF))
	key("attention.head_count", uint32(f.Heads))
	key("attention.head_count_kv", uint32(f.KVHeads))
	key("attention.key_length", uint32(f.HeadDim))
	key("attention.value_length", uint32(f.HeadDim))
	key("attention.layer_norm_rms_epsilon", float32(1e-6))
	key("rope.freq_base", float32(1e6))
	if f.Experts > 0 {
		key("expert_count", uint32(f.Experts))
		key("expert_used_count", uint32(f.Used))
		key("expert_feed_forward_length", uint32(f.ExpertFF))
	}
	return append(meta, testmodel.Tokenizer(f.vocab())...)
}
