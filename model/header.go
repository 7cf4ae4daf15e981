package model

import "github.com/seed4d217819/ebb/gguf"

// ReadConfig reads from a file's header the part of a model's configuration that says what its K/V are:
// the vocabulary, and the KVHeads, KeyDim and ValueDim of each layer. It needs neither weights nor a
// device.
func ReadConfig(f *gguf.File) (Config, error) {
	l := &Loader{file: f, found: &found{keys: map[string]bool{}, tensors: map[string]bool{}}}
	hidden, layers := l.Int("embedding_length"), l.Layers()
	heads := l.IntByLayer("attention.head_count", layers)
	kvHeads := l.IntByLayerOr("attention.head_count_kv", layers, heads)
	keyDim := l.IntOr("attention.key_length", hidden/max(append(heads, 1)[0], 1))
	valueDim := l.IntOr("attention.value_length", keyDim)
	c := l.Config(hidden)
	for i := range layers {
		c.Layers = append(c.Layers, Layer{Heads: heads[i], KVHeads: kvHeads[i], KeyDim: keyDim, ValueDim: valueDim})
	}
	return c, l.Err()
}
