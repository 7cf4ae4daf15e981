package model

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/product"
)

// The shape of the embedding of the tests here.
const (
	tiedHidden = 256
	tiedVocab  = 16384
)

// writeTied writes a file with an embedding, and with the same weights as an output matrix if it is to
// have one of its own. It returns the path and the size of a matrix.
func writeTied(t *testing.T, own bool) (path string, size int64) {
	t.Helper()
	data, err := ggml.Quantize(ggml.Q4_0, sines(1, tiedHidden*tiedVocab), tiedHidden)
	if err != nil {
		t.Fatal(err)
	}
	shape := []int64{tiedHidden, tiedVocab}
	tensors := []gguf.TensorData{{Name: "token_embd.weight", Type: gguf.Q4_0, Shape: shape, Data: data}}
	if own {
		tensors = append(tensors, gguf.TensorData{Name: "output.weight", Type: gguf.Q4_0, Shape: shape, Data: data})
	}
	var file bytes.Buffer
	if err := gguf.Write(&file, []gguf.KV{{Key: "general.architecture", Value: "test"}}, tensors); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "tied.gguf")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, int64(len(data))
}

// tiedModel is an opened file of writeTied.
type tiedModel struct {
	*Weights
	embedding *ggml.Tensor
	output    Linear
}

// loadTied loads a file, which is closed when the test ends.
func loadTied(t *testing.T, path string, b *ggml.Backend, set isa.ISA) tiedModel {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	l := NewLoader(f, Devices{Input: b, Output: b, Products: product.On(b.Device(), set)})
	m := tiedModel{embedding: l.Embedding("token_embd", tiedHidden, tiedVocab)}
	m.output = l.Head().Output("output", "token_embd", tiedHidden, tiedVocab)
	if m.Weights, err = l.Load(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// scores looks tokens up and scores all tokens for each of them.
func (m tiedModel) scores(t *testing.T, b *ggml.Backend, tokens []int32) []float32 {
	t.Helper()
	meta := ggml.NewContext(2)
	defer meta.Close()
	ids, y := meta.New(ggml.I32, int64(len(tokens))), meta.New(ggml.F32, tiedVocab, int64(len(tokens)))
	inputs, err := b.Alloc(b.BufferType(), ids.Bytes()+64, ggml.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	defer inputs.Close()
	inputs.Place(ids, 0)
	results, err := b.Alloc(b.BufferType(), y.Bytes(), ggml.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	defer results.Close()
	results.Place(y, 0)
	at := make([]byte, 0, ids.Bytes())
	for _, id := range tokens {
		at = binary.LittleEndian.AppendUint32(at, uint32(id))
	}
	ids.Set(at, 0)
	g := b.NewGraph(16)
	defer g.Close()
	g.Expand(g.Cpy(m.output.Forward(g, g.GetRows(m.embedding, ids)), y))
	scratch := b.NewScratch()
	defer scratch.Close()
	if _, err := scratch.Alloc(g); err != nil {
		t.Fatal(err)
	}
	if err := b.Compute(g); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, y.Bytes())
	y.Get(raw, 0)
	values := make([]float32, len(raw)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return values
}

func TestATiedOutputComputesAsOneOfItsOwnAndTakesItsMemoryOnce(t *testing.T) {
	for _, set := range productSets(t) {
		t.Run(set.String(), func(t *testing.T) {
			tokens := []int32{0, 77, 5000, tiedVocab - 1}
			own, ours := testmodel.CPU(t, 1), testmodel.CPU(t, 1)
			path, size := writeTied(t, true)
			want := loadTied(t, path, own, set).scores(t, own, tokens)
			path, _ = writeTied(t, false)
			m := loadTied(t, path, ours, set)
			if got := m.scores(t, ours, tokens); !slices.Equal(got, want) {
				t.Error("the scores of a tied output are not the bits of those of an output of its own")
			}
			if got := ours.Usage().Current[ggml.Weights]; got != size {
				t.Errorf("%d bytes of weights are booked, want %d", got, size)
			}
			if m.output.packed() != (set > isa.GGML) {
				t.Errorf("the output is packed: %v", m.output.packed())
			}
			if m.output.Weight == m.embedding {
				t.Skip("cpu: no layout has faster products of Q4_0")
			}
			if err := m.ReleaseRows(); err != nil {
				t.Fatal(err)
			}
			if got, most := residentBytes(t, path), int64(2*os.Getpagesize()); got > most {
				t.Errorf("%d bytes of the file are in memory when its rows are released, want at most %d", got, most)
			}
			if got := m.scores(t, ours, tokens); !slices.Equal(got, want) {
				t.Error("other scores after rows were released")
			}
		})
	}
}

func TestATiedOutputWithoutMemoryForAFasterLayoutComputesWhereTheEmbeddingLies(t *testing.T) {
	for _, set := range productSets(t) {
		t.Run(set.String(), func(t *testing.T) {
			tokens := []int32{3, 4096}
			path, size := writeTied(t, false)
			roomy := testmodel.CPU(t, 1)
			want := loadTied(t, path, roomy, isa.GGML).scores(t, roomy, tokens)
			b, err := roomy.Device().Open(ggml.Options{Threads: 1, Limit: size - 1})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
			m := loadTied(t, path, b, set)
			if got := b.Usage().Current[ggml.Weights]; got != size {
				t.Errorf("%d bytes of weights are booked, want %d", got, size)
			}
			if m.output.packed() {
				t.Error("the output is packed although there was no memory for it")
			}
			got := m.scores(t, b, tokens)
			for i := range want {
				if diff := math.Abs(float64(got[i] - want[i])); !(diff <= 1e-3*16) {
					t.Fatalf("score %d is %g, want %g", i, got[i], want[i])
				}
			}
		})
	}
}
