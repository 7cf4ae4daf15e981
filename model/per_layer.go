package model

import (
	"fmt"
	"math"

	"github.com/seed4d217819/ebb/ggml"
)

// PerLayerEmbedding gives a layer an embedding of its own for each token (Gemma 3n: Google, 2025),
// through a gate that its input opens.
type PerLayerEmbedding struct {
	dim            int
	table          *ggml.Tensor // [dim × layers, vocab]: a token's embeddings in all layers
	first          int          // of the layer's values in a row of the table
	embedding      *ggml.Tensor // [hidden, vocab]
	projection     Linear       // [hidden, dim] of the token's embedding
	projectionNorm RMSNorm      // [dim]
	gate           Linear       // [hidden, dim]
	out            Linear       // [dim, hidden]
	outNorm        RMSNorm      // [hidden]
}

// PerLayerEmbedding returns the embedding of one layer of a number of layers: its part of the tensors
// per_layer_token_embd [dim × layers, vocab], per_layer_model_proj [hidden, dim × layers] and
// per_layer_proj_norm, which all layers share, and its own inp_gate, proj and post_norm. The loader is
// the layer's. A device that computes layers has the tables.
func (l *Loader) PerLayerEmbedding(layer, layers, hidden, dim, vocab int, eps float32) PerLayerEmbedding {
	all := *l
	all.prefix = ""
	e := PerLayerEmbedding{
		dim:            dim,
		table:          all.Embedding("per_layer_token_embd", dim*layers, vocab),
		first:          dim * layer,
		embedding:      all.Embedding("token_embd", hidden, vocab),
		projection:     all.rows("per_layer_model_proj", hidden, dim*layers, dim*layer, dim),
		projectionNorm: all.RMSNorm("per_layer_proj_norm", dim, eps),
		gate:           l.Linear("inp_gate", hidden, dim),
		out:            l.Linear("proj", dim, hidden),
		outNorm:        l.RMSNorm("post_norm", hidden, eps),
	}
	if t := e.table; t != nil && int64(dim)%t.Type().BlockSize() != 0 {
		l.fault("tensor per_layer_token_embd.weight is %v, which has blocks of %d values, and a layer has %d: want a file of another type",
			t.Type(), t.Type().BlockSize(), dim)
	}
	return e
}

// Has reports whether there is such an embedding.
func (e PerLayerEmbedding) Has() bool { return e.table != nil }

// rows returns n rows of the matrix name.weight [in, out] from one on, as a matrix of its own.
func (l *Loader) rows(name string, in, out, first, n int) Linear {
	source, ok := l.source(name+".weight", in, out)
	if !ok {
		return Linear{}
	}
	row := source.Size / int64(out)
	source.Name = fmt.Sprintf("%s[%d:%d]", source.Name, first, first+n)
	source.Shape = []int64{int64(in), int64(n)}
	source.Offset += int64(first) * row
	source.Size = int64(n) * row
	return l.linear(source)
}

// Forward adds to x [hidden, tokens] what it makes of the embeddings of its tokens, ids [tokens].
func (e PerLayerEmbedding) Forward(g *ggml.Graph, x, ids *ggml.Tensor) *ggml.Tensor {
	dim := int64(e.dim)
	t := e.table
	own := g.View2D(t, dim, t.Ne(1), t.Nb(1), t.Type().RowSize(int64(e.first))) // [dim, vocab]
	looked := g.Scale(g.GetRows(own, ids), float32(math.Sqrt(float64(e.dim))))  // [dim, tokens]

	// The model multiplies the embedding by √hidden, and the product by 1/√hidden.
	projected := e.projectionNorm.Forward(g, e.projection.Forward(g, g.GetRows(e.embedding, ids)))
	embedded := g.Scale(g.Add(projected, looked), math.Sqrt2/2) // [dim, tokens]

	h := g.Mul(g.GELU(e.gate.Forward(g, x)), embedded)
	return g.Add(e.outNorm.Forward(g, e.out.Forward(g, h)), x)
}
