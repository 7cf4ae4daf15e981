package llama_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/model"
	"github.com/seed4d217819/ebb/model/llama"
)

// dequantized returns the model whose weights are the numbers that the types of another one keep.
func dequantized(t *testing.T, data []byte) []byte {
	t.Helper()
	return testmodel.Convert(t, data, "llama", nil, func(tensor gguf.TensorData) []gguf.TensorData {
		n := int64(1)
		for _, d := range tensor.Shape {
			n *= d
		}
		var raw []byte
		for _, x := range ggml.Dequantize(ggml.Type(tensor.Type), tensor.Data, int(n)) {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
		}
		tensor.Type, tensor.Data = gguf.F32, raw
		return []gguf.TensorData{tensor}
	})
}

// logitsOf computes the logits behind a prompt of three tokens.
func logitsOf(t *testing.T, data []byte) []float32 {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := ebb.Open(path, ebb.Options{Device: "cpu", Threads: 1, KVType: "f32"})
	if err != nil {
		t.Fatal(err)
	}
	s := e.NewSeq()
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	out, err := e.Forward(t.Context(), []kv.Work{{Seq: s, Tokens: []int32{1, 50, 100}, Logits: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return append([]float32(nil), out[0][0]...)
}

// The kernels of quantised weights round the activations to 8 bits, which moved logits by up to 3 %
// of the largest.
func TestAModelOfEachKindOfWeightTypeComputesWithTheNumbersOfItsType(t *testing.T) {
	testmodel.CPU(t, 1) // skips where there is no library
	for _, typ := range []ggml.Type{ggml.BF16, ggml.Q4_0, ggml.Q4_K, ggml.Q6_K, ggml.IQ3_XXS, ggml.IQ3_S, ggml.IQ4_NL, ggml.IQ4_XS, ggml.MXFP4} {
		t.Run(typ.String(), func(t *testing.T) {
			data := testmodel.Llama(testmodel.Options{Layers: 1, Hidden: 256, Heads: 4, HeadDim: 64, FF: 256, Type: typ})
			got, want := logitsOf(t, data), logitsOf(t, dequantized(t, data))
			worst, largest := 0.0, 0.0
			for i := range want {
				worst = max(worst, math.Abs(float64(got[i]-want[i])))
				largest = max(largest, math.Abs(float64(want[i])))
			}
			if !(worst <= 0.05*largest) {
				t.Errorf("logits differ by %g of %g, more than 5 %%", worst, largest)
			}
		})
	}
}

// openWithType opens a model one of whose matrices has zeros of a type.
func openWithType(t *testing.T, name string, typ gguf.Type) error {
	t.Helper()
	backend := testmodel.CPU(t, 1)
	data := testmodel.Convert(t, testmodel.Llama(testmodel.Options{Layers: 1, Hidden: 256}), "llama", nil, func(tensor gguf.TensorData) []gguf.TensorData {
		if tensor.Name == name {
			tensor.Type, tensor.Data = typ, make([]byte, typ.RowSize(tensor.Shape[0]*tensor.Shape[1]))
		}
		return []gguf.TensorData{tensor}
	})
	file, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	m, err := llama.Architecture().Open(model.NewLoader(file, model.Devices{Input: backend, Output: backend}))
	if err != nil {
		return err
	}
	return m.Close()
}

func TestMatricesMayBeOfAllTypesThatLargeModelsAreSharedIn(t *testing.T) {
	for _, typ := range []gguf.Type{
		gguf.F16, gguf.BF16, gguf.Q4_0, gguf.Q4_1, gguf.Q5_0, gguf.Q5_1, gguf.Q8_0, gguf.Q2_K, gguf.Q3_K, gguf.Q4_K, gguf.Q5_K, gguf.Q6_K,
		gguf.IQ1_S, gguf.IQ1_M, gguf.IQ2_XXS, gguf.IQ2_XS, gguf.IQ2_S, gguf.IQ3_XXS, gguf.IQ3_S, gguf.IQ4_NL, gguf.IQ4_XS, gguf.MXFP4,
	} {
		for _, name := range []string{"blk.0.attn_q.weight", "token_embd.weight"} {
			if err := openWithType(t, name, typ); err != nil {
				t.Errorf("%s of %v: %v", name, typ, err)
			}
		}
	}
}

func TestAWeightTypeThatIsNotThereIsAnErrorThatListsThoseThatAre(t *testing.T) {
	err := openWithType(t, "blk.0.attn_q.weight", gguf.NVFP4)
	for _, want := range []string{"tensor blk.0.attn_q.weight is of type nvfp4: want one of f32, f16, ", "q6_k", "iq4_xs", "mxfp4"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want one that contains %q", err, want)
		}
	}
}
