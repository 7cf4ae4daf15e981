package model

import (
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/product"
)

// The gated linear units of feed-forward networks: see [product.GLU].
const (
	SiLU        = product.SiLU
	GELU        = product.GELU
	ClampedSiLU = product.ClampedSiLU
)

// applyGLU returns what a gated linear unit makes of gate and up, which are of one shape, as the result
// is.
func applyGLU(g *ggml.Graph, glu product.GLU, gate, up *ggml.Tensor) *ggml.Tensor {
	switch glu {
	case SiLU:
		return g.SwiGLU(gate, up)
	case GELU:
		return g.GeGLU(gate, up)
	case ClampedSiLU:
		const alpha, limit = 1.702, 7
		return g.SwiGLUOAI(gate, up, alpha, limit)
	}
	panic(fmt.Sprintf("model: no gated linear unit has the number %d", glu))
}
