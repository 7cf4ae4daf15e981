package model

import (
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
)

// Drafter is a model whose file has a block that drafts tokens (multi-token prediction: Gloeckle et
// al., 2024; one block behind the layers as in DeepSeek-V3, 2024). The block is a model of one
// layer, which reads the model's hidden state of a token beside the embedding of the token after
// it, and scores the one after that.
type Drafter interface {
	Model
	// Hidden returns the hidden states that the block reads. x [hidden, tokens] is what the last
	// layer has returned; result like x.
	Hidden(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor
	// Block returns the block, a model of one layer that attends and reads [Tokens.Hidden]. Its own
	// hidden states take the place of the model's for tokens that it has drafted. It has no weights
	// of its own to close. nil: it was not loaded.
	Block() Drafter
}

// ReadBlock reads from a file's header the attention of the block that drafts tokens. A file
// without one, or of an architecture that cannot load it, is an error.
func ReadBlock(f *gguf.File, known []Architecture) (Layer, error) {
	architecture, err := Find(f.Architecture(), known)
	if err != nil {
		return Layer{}, err
	}
	l := newHeader(f)
	l.WithDrafting()
	if !architecture.Drafts {
		return Layer{}, fmt.Errorf("models of architecture %s do not draft tokens: leave out MTP (--mtp)", f.Architecture())
	}
	hidden, layers := l.Int("embedding_length"), l.Layers()
	if l.Drafting() == 0 || l.Err() != nil {
		return Layer{}, l.Err()
	}
	return l.Attention(hidden, layers+1)[layers], l.Err()
}

// WithDrafting has the loader load the block that drafts tokens, too.
func (l *Loader) WithDrafting() { l.found.drafting = true }

// Drafting returns how many blocks that draft tokens are to be loaded: 0 or 1. A file without one
// is a fault if one is.
func (l *Loader) Drafting() int {
	if !l.found.drafting {
		return 0
	}
	n := l.drafting()
	l.Check(n > 0, "the file has no block that drafts tokens (metadata %s): leave out MTP (--mtp)", l.key(predictBlocks))
	l.Check(n <= 1, "metadata %s is %d: want 1, as only one block can draft tokens; or leave out MTP (--mtp)", l.key(predictBlocks), n)
	if n != 1 {
		return 0
	}
	return 1
}

// DraftBlock is a block that drafts tokens: it joins the norms of an embedding and a hidden state
// to the input of a layer.
type DraftBlock struct {
	config        Config
	embedding     *ggml.Tensor // [hidden, vocab]
	embeddingNorm RMSNorm      // [hidden]
	hiddenNorm    RMSNorm      // [hidden]
	join          Linear       // [2 × hidden, hidden]
	norm          RMSNorm      // [hidden]
	output        Linear       // [hidden, vocab]
	layer         BlockLayer
}

// BlockLayer is the layer of a block that drafts tokens: [Model.Layer] without recurrence.
type BlockLayer func(g *ggml.Graph, x *ggml.Tensor, tokens Tokens, attend Attend) *ggml.Tensor

var _ Drafter = (*DraftBlock)(nil)

// DraftBlock gives the decoder the block of a file: nextn.enorm, nextn.hnorm and nextn.eh_proj, and
// where it has them nextn.embed_tokens, nextn.shared_head_norm and nextn.shared_head_head;
// otherwise it uses the decoder's. b is the loader of the block, on the device that scores tokens.
func (d *Decoder) DraftBlock(l, b *Loader, attention Layer, eps float32, layer BlockLayer) {
	hidden, vocab := d.config.Hidden, d.config.Vocab
	block := &DraftBlock{
		config: d.config, embedding: d.Embedding, norm: d.Norm, output: d.Output, layer: layer,
		embeddingNorm: b.RMSNorm("nextn.enorm", hidden, eps),
		hiddenNorm:    b.RMSNorm("nextn.hnorm", hidden, eps),
		join:          b.Linear("nextn.eh_proj", 2*hidden, hidden),
	}
	block.config.Layers, block.config.ReadsHidden = []Layer{attention}, true
	if b.Has("nextn.embed_tokens.weight") {
		block.embedding = l.Embedding(b.prefix+"nextn.embed_tokens", hidden, vocab)
	}
	if b.Has("nextn.shared_head_norm.weight") {
		block.norm = b.RMSNorm("nextn.shared_head_norm", hidden, eps)
	}
	if b.Has("nextn.shared_head_head.weight") {
		block.output = b.Linear("nextn.shared_head_head", hidden, vocab)
	}
	d.block = block
}

// Hidden returns the hidden states behind the layers, after their norm.
func (d *Decoder) Hidden(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor { return d.Norm.Forward(g, x) }

// Block returns the block that drafts tokens, nil if none was loaded.
func (d *Decoder) Block() Drafter {
	if d.block == nil {
		return nil
	}
	return d.block
}

// Config returns the block's shape.
func (b *DraftBlock) Config() Config { return b.config }

// Embed looks the tokens' embeddings up.
func (b *DraftBlock) Embed(g *ggml.Graph, ids *ggml.Tensor) *ggml.Tensor {
	return g.GetRows(b.embedding, ids) // [hidden, tokens]
}

// Layer joins embeddings x and hidden states, and takes them through the block's layer.
func (b *DraftBlock) Layer(g *ggml.Graph, _ int, x *ggml.Tensor, tokens Tokens, attend Attend, _ Recur) *ggml.Tensor {
	both := g.Concat(b.embeddingNorm.Forward(g, x), b.hiddenNorm.Forward(g, tokens.Hidden), 0) // [2 × hidden, tokens]
	return b.layer(g, b.join.Forward(g, both), tokens, attend)
}

// Hidden returns the block's own hidden states, after its norm.
func (b *DraftBlock) Hidden(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor { return b.norm.Forward(g, x) }

// Logits scores the token after the next.
func (b *DraftBlock) Logits(g *ggml.Graph, x *ggml.Tensor) *ggml.Tensor {
	return b.output.ForwardNormed(g, b.norm, x) // [vocab, tokens]
}

// Block returns nil: the block drafts token after token itself.
func (b *DraftBlock) Block() Drafter { return nil }

// Close does nothing: the weights are the model's.
func (b *DraftBlock) Close() error { return nil }
