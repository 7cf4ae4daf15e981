package families

import "github.com/seed4d217819/ebb/ggml"

// whole returns a Llama of 1.1 billion weights in several types of files. It has all layers and a
// vocabulary of the usual size, so that whole prompts and steps compare with those of a model that
// people run.
func whole() []Family {
	return []Family{
		llama1B("q4_0", ggml.Q4_0, ggml.Q4_0, ggml.Q6_K),
		llama1B("q4_k_m", ggml.Q4_K, ggml.Q6_K, ggml.Q6_K),
		llama1B("q8_0", ggml.Q8_0, ggml.Q8_0, ggml.Q8_0),
	}
}

// WholeNames returns the names of the families that are measured only where they are named.
func WholeNames() (names []string) {
	for _, f := range whole() {
		names = append(names, f.Name)
	}
	return names
}

// llama1B returns the shape of Llama 3.2 1B with SmolLM2's number of tokens, in files of a type: typ is
// that of most matrices, fine that of values and of the last of a feed-forward network in the layers
// that have more bits, and embedding that of the embedding.
func llama1B(name string, typ, fine, embedding ggml.Type) Family {
	return Family{
		Name: "llama-1b:" + name, Member: "Llama 1B in " + name, Of: 16, Architecture: "llama", Layers: 16,
		Hidden: 2048, Heads: 32, KVHeads: 8, HeadDim: 64, FF: 8192, Tied: true, Vocab: 49152, Whole: true, embedding: embedding,
		add: func(m *file, f Family) {
			m.key("rope.dimension_count", uint32(f.HeadDim))
			m.layers(f, func(l layer) {
				q, kv := f.Heads*f.HeadDim, f.KVHeads*f.HeadDim
				of := typ
				if moreBits(l.index, f.Layers) {
					of = fine
				}
				l.norm(l.name("attn_norm.weight"), f.Hidden)
				l.linear("attn_q", typ, f.Hidden, q)
				l.linear("attn_k", typ, f.Hidden, kv)
				l.linear("attn_v", of, f.Hidden, kv)
				l.linear("attn_output", typ, q, f.Hidden)
				l.feedForwardNorm()
				l.linear("ffn_gate", typ, f.Hidden, f.FF)
				l.linear("ffn_up", typ, f.Hidden, f.FF)
				l.linear("ffn_down", of, f.FF, f.Hidden)
			})
		},
	}
}

// moreBits reports whether files of type Q4_K_M have more bits for some matrices of a layer: those of
// the first and last eighth have, and every third in between, as llama.cpp writes them.
func moreBits(layer, layers int) bool {
	eighth := layers / 8
	return layer < eighth || layer >= 7*layers/8 || (layer-eighth)%3 == 2
}
