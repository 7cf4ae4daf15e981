package model

import "github.com/seed4d217819/ebb/ggml"

// Decoder is what a model has outside its layers: the embedding of tokens, and the norm and matrix
// that score the next one. Architectures embed it and add their layers.
type Decoder struct {
	config    Config
	weights   *Weights
	block     *DraftBlock  // nil: it is not loaded
	Embedding *ggml.Tensor // [hidden, vocab]
	Norm      RMSNorm      // [hidden]
	Output    Linear       // [hidden, vocab]
}

// Decoder returns a model without layers, whose output matrix is the embedding where the file has
// none.
func (l *Loader) Decoder(hidden int, layers []Layer, eps float32) Decoder {
	return l.DecoderWithNorm("output_norm", hidden, layers, eps)
}

// DecoderWithNorm is Decoder where the norm behind the layers has another name.
func (l *Loader) DecoderWithNorm(norm string, hidden int, layers []Layer, eps float32) Decoder {
	d := Decoder{config: l.Config(hidden)}
	d.config.Layers = layers
	head := l.Head()
	d.Embedding = l.Embedding("token_embd", hidden, d.config.Vocab)
	d.Norm = head.RMSNorm(norm, hidden, eps)
	d.Output = head.Output("output", "token_embd", hidden, d.config.Vocab)
	return d
}

// Load gives the weights that a loader was asked for their memory.
func (d *Decoder) Load(l *Loader) (err error) {
	d.weights, err = l.Load()
	return err
}

// WithRoPE returns the decoder with Config.RoPE.
func (d Decoder) WithRoPE(name string) Decoder {
	d.config.RoPE = name
	return d
}

// Config returns the model's shape.
func (d *Decoder) Config() Config { return d.config }

// Embed looks the tokens' embeddings up.
func (d *Decoder) Embed(g *ggml.Graph, ids *ggml.Tensor) *ggml.Tensor {
	return g.GetRows(d.Embedding, ids) // [hidden, tokens]
}

// Logits scores the next token.
func (d *Decoder) Logits(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return d.Output.ForwardNormed(g, d.Norm, x) // [vocab, tokens]
}

// ReleaseRows gives the memory of rows back that were looked up where the file is mapped, as those of
// the tokens' embeddings.
func (d *Decoder) ReleaseRows() error { return d.weights.ReleaseRows() }

// Close frees the weights.
func (d *Decoder) Close() error { return d.weights.Close() }
