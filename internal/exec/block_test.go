package exec

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

// block is the block that drafts tokens of tiny-qwen35-mtp, computed in float64 from its file by
// the formulas alone: no graph, and nothing kept from token to token.
type block struct {
	weights map[string][]float64
	eps     float64
	base    float64 // of RoPE
}

// Shape of the block.
const (
	blockHidden = 64
	blockHeads  = 2 // queries, of one head of keys and values
	blockDim    = 64
	blockTurns  = 16 // dimensions of a head that RoPE turns
	blockVocab  = 264
)

// readBlock reads the block's weights.
func readBlock(t *testing.T) block {
	t.Helper()
	f, err := gguf.Open(filepath.Join("..", "..", "testdata", "models", "tiny-qwen35-mtp.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	b := block{weights: map[string][]float64{}}
	for _, x := range f.Tensors() {
		data := f.Data(x)
		values := make([]float64, len(data)/4)
		for i := range values {
			values[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:])))
		}
		b.weights[x.Name] = values
	}
	if b.eps, err = f.Float("qwen35.attention.layer_norm_rms_epsilon"); err != nil {
		t.Fatal(err)
	}
	if b.base, err = f.Float("qwen35.rope.freq_base"); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b block) of(name string) []float64 { return b.weights["blk.4."+name+".weight"] }

// norm returns the RMS norm of x with a weight.
func (b block) norm(x, weight []float64) []float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v / math.Sqrt(sum/float64(len(x))+b.eps) * weight[i]
	}
	return out
}

// times returns the product of a matrix [len(x), rows] and x.
func times(matrix, x []float64) []float64 {
	out := make([]float64, len(matrix)/len(x))
	for row := range out {
		for i, v := range x {
			out[row] += matrix[row*len(x)+i] * v
		}
	}
	return out
}

func plus(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// turn turns a head by a position.
func (b block) turn(head []float64, pos int) []float64 {
	out := append([]float64(nil), head...)
	for i := range blockTurns / 2 {
		angle := float64(pos) * math.Pow(b.base, -2*float64(i)/blockTurns)
		sin, cos := math.Sincos(angle)
		x, y := head[i], head[i+blockTurns/2]
		out[i], out[i+blockTurns/2] = x*cos-y*sin, x*sin+y*cos
	}
	return out
}

// run returns the scores behind the last of some tokens, and the block's own hidden state there.
// hidden are the hidden states of the tokens before each.
func (b block) run(tokens []int32, hidden [][]float64) (scores, state []float64) {
	var keys, values [][]float64
	for i, id := range tokens {
		embedding := b.weights["token_embd.weight"][int(id)*blockHidden:][:blockHidden]
		both := append(b.norm(embedding, b.of("nextn.enorm")), b.norm(hidden[i], b.of("nextn.hnorm"))...)
		x := times(b.of("nextn.eh_proj"), both)
		h := b.norm(x, b.of("attn_norm"))
		keys = append(keys, b.turn(b.norm(times(b.of("attn_k"), h), b.of("attn_k_norm")), i))
		values = append(values, times(b.of("attn_v"), h))
		if i < len(tokens)-1 {
			continue // nobody reads more of it
		}
		var attended []float64
		queries := times(b.of("attn_q"), h) // head by head a query and its gate
		for head := range blockHeads {
			q := b.turn(b.norm(queries[2*head*blockDim:][:blockDim], b.of("attn_q_norm")), i)
			gate := queries[(2*head+1)*blockDim:][:blockDim]
			sum, out := 0.0, make([]float64, blockDim)
			for j, k := range keys {
				score := 0.0
				for d := range q {
					score += q[d] * k[d]
				}
				weight := math.Exp(score / math.Sqrt(blockDim))
				sum += weight
				for d := range out {
					out[d] += weight * values[j][d]
				}
			}
			for d := range out {
				out[d] *= sigmoid(gate[d]) / sum
			}
			attended = append(attended, out...)
		}
		x = plus(x, times(b.of("attn_output"), attended))
		h = b.norm(x, b.of("post_attention_norm"))
		gate, up := times(b.of("ffn_gate"), h), times(b.of("ffn_up"), h)
		for d := range up {
			up[d] *= gate[d] * sigmoid(gate[d])
		}
		x = plus(x, times(b.of("ffn_down"), up))
		state = b.norm(x, b.of("nextn.shared_head_norm"))
	}
	output := b.weights["output.weight"]
	if output == nil {
		output = b.weights["token_embd.weight"]
	}
	return times(output, state), state
}
