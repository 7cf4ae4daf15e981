package attend

import (
	"fmt"
	"math"
)

// Merge joins two results of attention: out and lse, over some cells, become the result over those
// and the cells of other, as if there had been one computation. Each result is an average of
// values, and e^lse is the sum of its weights. The kernel joins ranges of cells by the same
// formula. Sinks are among the weights of one of the results, whichever: given to both, they would
// count twice. Nothing calls Merge yet: it is for attention to one sequence on several devices, each of
// which computes over the cells that it keeps with [Attention.Partial].
//
//	out, other      [heads × tokens][valueDim]
//	lse, otherLSE   [heads × tokens]; -Inf: over no cells
func Merge(out, lse, other, otherLSE []float32) {
	n := len(lse)
	if len(otherLSE) != n || len(other) != len(out) || n == 0 && len(out) > 0 || n > 0 && len(out)%n != 0 {
		panic(fmt.Sprintf("attend: merge of %d numbers of %d heads with %d of %d", len(out), n, len(other), len(otherLSE)))
	}
	for i := range lse {
		a, b := float64(lse[i]), float64(otherLSE[i])
		if math.IsInf(b, -1) {
			continue
		}
		most := max(a, b)
		wa, wb := math.Exp(a-most), math.Exp(b-most)
		sum := wa + wb
		dim := len(out) / n
		o, x := out[i*dim:][:dim], other[i*dim:][:dim]
		if wa == 0 { // out may be over no cells
			copy(o, x)
		} else {
			for j := range o {
				o[j] = float32((wa*float64(o[j]) + wb*float64(x[j])) / sum)
			}
		}
		lse[i] = float32(most + math.Log(sum))
	}
}
