package ggml

import "fmt"

// The operations below carry a state from token to token. Sequences that have equally many tokens are
// computed together, in the last dimension.

// Softplus returns log(1 + exp(x)). x is F32.
func (g *Graph) Softplus(x *Tensor) *Tensor {
	checkUnary("Softplus", x)
	return c.Softplus(g.next("Softplus"), x)
}

// SSMConv returns a causal convolution of each channel: x [kernel-1+tokens, channels, sequences] with w
// [kernel, channels] gives [channels, tokens, sequences]. The first kernel-1 values of a channel are
// those before the tokens. Both are F32 and x is contiguous. (Gu and Dao 2023, arXiv:2312.00752.)
func (g *Graph) SSMConv(x, w *Tensor) *Tensor {
	const op = "SSMConv"
	present(op, x, w)
	check(x.typ == F32 && w.typ == F32, op, "f32 operands", x, w)
	check(x.Contiguous() && w.Contiguous(), op, "contiguous operands", x, w)
	check(x.ne[3] == 1 && w.ne[2] == 1 && w.ne[3] == 1 && x.ne[1] == w.ne[1] && x.ne[0] >= w.ne[0], op,
		"x [kernel-1+tokens, channels, sequences] and w [kernel, channels]", x, w)
	return c.SSMConv(g.next(op), x, w)
}

// GatedDeltaNet returns the output of the gated delta rule (Yang et al. 2024, arXiv:2412.06464) for each
// token, and the states after the last ones, packed in one tensor of [S × heads, ..]: see [DeltaNet].
//
//	q, k     [S, key heads, tokens, sequences], k of length 1; head h uses key head h modulo their number
//	v        [S, heads, tokens, sequences]
//	g, beta  [1, heads, tokens, sequences]: the logarithm of the decay, and the rate of writing
//	state    [S, S, heads, sequences] before the first token
//
// All are F32; g, beta and state are contiguous. keep is how many states are returned of each sequence:
// after its last token, after the one before it, and so on.
func (g *Graph) GatedDeltaNet(q, k, v, decay, beta, state *Tensor, keep int) DeltaNet {
	const op = "GatedDeltaNet"
	operands := []*Tensor{q, k, v, decay, beta, state}
	present(op, operands...)
	for _, t := range operands {
		check(t.typ == F32 && t.contiguousRows(), op, "f32 rows without gaps", operands...)
	}
	size, heads, tokens, seqs := v.ne[0], v.ne[1], v.ne[2], v.ne[3]
	check(q.ne == k.ne && q.ne[0] == size && heads%q.ne[1] == 0 && q.ne[2] == tokens && q.ne[3] == seqs, op,
		"queries and keys alike, of the size of values, and heads that are a multiple of theirs", operands...)
	gate := [4]int64{1, heads, tokens, seqs}
	check(decay.ne == gate && beta.ne == gate && decay.Contiguous() && beta.Contiguous(), op,
		fmt.Sprintf("contiguous decays and rates of %d", gate), operands...)
	check(state.ne == [4]int64{size, size, heads, seqs} && state.Contiguous(), op,
		fmt.Sprintf("a contiguous state of %d", [4]int64{size, size, heads, seqs}), operands...)
	check(keep >= 1 && int64(keep) <= tokens, op, fmt.Sprintf("1 to %d states to be kept, not %d,", tokens, keep), operands...)
	return DeltaNet{c.DeltaNet(g.next(op), q, k, v, decay, beta, state, int64(keep)), v.ne}
}

// DeltaNet is a result of [Graph.GatedDeltaNet].
type DeltaNet struct {
	packed *Tensor
	ne     [4]int64 // of the values
}

// Output returns [S × heads, tokens × sequences].
func (d DeltaNet) Output(g *Graph) *Tensor {
	n := d.ne[0] * d.ne[1]
	return g.View2D(d.packed, n, d.ne[2]*d.ne[3], n*4, 0)
}

// State returns the states [S × S × heads, sequences] after the last token, or some tokens further back.
func (d DeltaNet) State(g *Graph, back int) *Tensor {
	size, heads, tokens, seqs := d.ne[0], d.ne[1], d.ne[2], d.ne[3]
	n := size * size * heads
	return g.View2D(d.packed, n, seqs, n*4, (size*heads*tokens*seqs+int64(back)*n*seqs)*4)
}

// SSMScan takes tokens through the recurrence of Mamba-2 (Dao and Gu 2024, arXiv:2405.21060), and returns
// its output and the states after the last tokens, packed in one tensor: see [Scan]. Of each token a
// head's state fades by exp(softplus(dt) × a), softplus(dt) × x bᵀ is added to it, and the output is its
// product with c.
//
//	x      [D, heads, tokens, sequences], heads without gaps
//	dt     [heads, tokens, sequences], contiguous
//	a      [1, heads], contiguous
//	b, c   [N, groups, tokens, sequences], groups without gaps; the heads of a group stand together
//	state  [N, D, heads, sequences] before the first token, contiguous
//
// All are F32. keep is how many states are returned of each sequence: after its last token, after the
// one before it, and so on.
func (g *Graph) SSMScan(state, x, dt, a, b, cc *Tensor, keep int) Scan {
	const op = "SSMScan"
	operands := []*Tensor{state, x, dt, a, b, cc}
	present(op, operands...)
	for _, t := range operands {
		check(t.typ == F32 && t.contiguousRows(), op, "f32 rows without gaps", operands...)
	}
	size, heads, tokens, seqs := state.ne[0], x.ne[1], x.ne[2], x.ne[3]
	packed := func(t *Tensor) bool { return t.ne[1] == 1 || t.Nb(1) == t.ne[0]*t.Nb(0) }
	check(state.ne == [4]int64{size, x.ne[0], heads, seqs} && state.Contiguous(), op, "a contiguous state for each head and sequence", operands...)
	check(packed(x) && packed(b) && packed(cc), op, "heads and groups without gaps", operands...)
	check(dt.ne == [4]int64{heads, tokens, seqs, 1} && dt.Contiguous(), op, "a contiguous time step for each head and token", operands...)
	check(a.ne == [4]int64{1, heads, 1, 1} && a.Contiguous(), op, "a contiguous rate for each head", operands...)
	check(b.ne == cc.ne && b.ne[0] == size && heads%b.ne[1] == 0 && b.ne[2] == tokens && b.ne[3] == seqs, op,
		"b and c alike, of the size of states, in groups that divide the heads", operands...)
	check(keep >= 1 && int64(keep) <= tokens, op, fmt.Sprintf("1 to %d states to be kept, not %d,", tokens, keep), operands...)
	return Scan{c.SSMScan(g.next(op), state, x, dt, a, b, cc, g.numbers(seqs), int64(keep)), x.ne, size}
}

// numbers returns the numbers from 0 to n-1 as I32 [n].
func (g *Graph) numbers(n int64) *Tensor {
	const ascending = 0 // GGML_SORT_ORDER_ASC
	return c.Argsort(g.next("SSMScan"), c.Arange(g.next("SSMScan"), 0, float32(n), 1), ascending)
}

// Scan is a result of [Graph.SSMScan].
type Scan struct {
	packed *Tensor
	ne     [4]int64 // of x
	size   int64    // of a state's vector
}

// Output returns [D, heads, tokens, sequences].
func (s Scan) Output(g *Graph) *Tensor {
	token := s.ne[0] * s.ne[1] * 4
	return g.View4D(s.packed, s.ne, [3]int64{s.ne[0] * 4, token, token * s.ne[2]}, 0)
}

// State returns the states [N × D × heads, sequences] after the last token, or some tokens further back.
func (s Scan) State(g *Graph, back int) *Tensor {
	n := s.size * s.ne[0] * s.ne[1]
	return g.View2D(s.packed, n, s.ne[3], n*4, (s.ne[0]*s.ne[1]*s.ne[2]*s.ne[3]+int64(back)*n*s.ne[3])*4)
}
