package testmodel_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

func parse(t *testing.T, o testmodel.Options) *gguf.File {
	t.Helper()
	f, err := gguf.Parse(testmodel.Llama(o))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheSameSeedGivesTheSameBytesEverywhere(t *testing.T) {
	tests := []struct {
		o    testmodel.Options
		want string
	}{
		{testmodel.Options{}, "ba539741a0aab03c19b6f820db90f636017c2c7927e20773b7ab3e47b1c04532"},
		{testmodel.Options{Seed: 1, Tied: true, Layers: 2, Vocab: 300}, "2687baf0053fd696c50b3e6c22f96939ee98dc6a4bc9b4c20163b88584a297f2"},
	}
	for _, test := range tests {
		sum := sha256.Sum256(testmodel.Llama(test.o))
		if got := hex.EncodeToString(sum[:]); got != test.want {
			t.Errorf("%+v: SHA-256 %s, want %s", test.o, got, test.want)
		}
	}
}

func TestTheDefaultsAreTheGoldenModel(t *testing.T) {
	golden, err := gguf.Open("../../testdata/models/tiny-gqa.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := golden.Close(); err != nil {
			t.Error(err)
		}
	}()
	got := parse(t, testmodel.Options{})

	values := func(f *gguf.File) map[string]any {
		m := map[string]any{}
		for key, v := range f.Metadata() {
			if key != "general.name" {
				m[key] = v.Any()
			}
		}
		return m
	}
	if diff := cmp.Diff(values(got), values(golden)); diff != "" {
		t.Errorf("metadata (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(got.Keys(), golden.Keys()); diff != "" {
		t.Errorf("keys (-got +want):\n%s", diff)
	}
	tensors := func(f *gguf.File) (s []string) {
		for _, tensor := range f.Tensors() {
			s = append(s, tensor.String())
		}
		return s
	}
	if diff := cmp.Diff(tensors(got), tensors(golden)); diff != "" {
		t.Errorf("tensors (-got +want):\n%s", diff)
	}
	for _, want := range golden.Tensors() {
		tensor, _ := got.Tensor(want.Name)
		gotMean, gotDev := moments(floats(got, tensor))
		wantMean, wantDev := moments(floats(golden, want))
		// Both are samples: 64 norm weights have a deviation that is itself off by up to a third.
		if math.Abs(gotMean-wantMean) > 0.1+0.1*wantDev || gotDev < wantDev/1.5 || gotDev > wantDev*1.5 {
			t.Errorf("%s: mean %.3f, deviation %.3f, want about %.3f, %.3f", tensor, gotMean, gotDev, wantMean, wantDev)
		}
	}
}

// floats decodes the bytes of an F32 tensor.
func floats(f *gguf.File, t gguf.Tensor) []float32 {
	w := make([]float32, t.Elements())
	for i := range w {
		w[i] = math.Float32frombits(binary.LittleEndian.Uint32(f.Data(t)[4*i:]))
	}
	return w
}

func moments(w []float32) (mean, deviation float64) {
	for _, x := range w {
		mean += float64(x) / float64(len(w))
	}
	for _, x := range w {
		deviation += (float64(x) - mean) * (float64(x) - mean) / float64(len(w))
	}
	return mean, math.Sqrt(deviation)
}

func TestSeedsAndNamesGiveDifferentWeights(t *testing.T) {
	a, b := parse(t, testmodel.Options{Seed: 1}), parse(t, testmodel.Options{Seed: 2})
	seen := map[string]string{}
	for i, f := range []*gguf.File{a, b} {
		for _, tensor := range f.Tensors() {
			head := string(f.Data(tensor)[:64])
			if other, ok := seen[head]; ok {
				t.Errorf("seed %d: %s starts like %s", i+1, tensor.Name, other)
			}
			seen[head] = tensor.Name
		}
	}
}

func TestModelsShareTheWeightsOfTensorsTheyShare(t *testing.T) {
	long, short := parse(t, testmodel.Options{Layers: 3}), parse(t, testmodel.Options{Layers: 1})
	for _, tensor := range short.Tensors() {
		same, ok := long.Tensor(tensor.Name)
		if !ok || string(long.Data(same)) != string(short.Data(tensor)) {
			t.Errorf("%s differs with the number of layers", tensor)
		}
	}
}

func TestATiedModelHasNoOutputMatrix(t *testing.T) {
	f := parse(t, testmodel.Options{Tied: true})
	if _, ok := f.Tensor("output.weight"); ok {
		t.Error("a tied model has output.weight, want none")
	}
}

func TestQuantizedMatricesAreCloseToTheirWeights(t *testing.T) {
	if _, err := ggml.Load(); errors.Is(err, ggml.ErrNoLibrary) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	o := testmodel.Options{Layers: 1, Hidden: 256, Heads: 8, FF: 256}
	exact := parse(t, o)
	// Root mean square errors of the types on normal weights, in deviations, rounded up.
	for typ, most := range map[ggml.Type]float64{
		ggml.F16: 0.0005, ggml.BF16: 0.004, ggml.Q8_0: 0.01, ggml.Q6_K: 0.03, ggml.Q5_0: 0.06, ggml.Q5_1: 0.06, ggml.Q5_K: 0.06,
		ggml.Q4_0: 0.12, ggml.Q4_1: 0.12, ggml.Q4_K: 0.12, ggml.Q3_K: 0.25, ggml.Q2_K: 0.5,
	} {
		t.Run(typ.String(), func(t *testing.T) {
			o := o
			o.Type = typ
			f := parse(t, o)
			for _, tensor := range f.Tensors() {
				if strings.Contains(tensor.Name, "norm") {
					if tensor.Type != gguf.F32 {
						t.Errorf("%s, want f32", tensor)
					}
					continue
				}
				if tensor.Type != gguf.Type(typ) {
					t.Errorf("%s, want %s", tensor, typ)
				}
				same, _ := exact.Tensor(tensor.Name)
				want := floats(exact, same)
				got := ggml.Dequantize(typ, f.Data(tensor), len(want))
				_, deviation := moments(want)
				for i := range got {
					got[i] -= want[i]
				}
				if _, off := moments(got); off > most*deviation {
					t.Errorf("%s is off by %.4f deviations, want at most %.4f", tensor, off/deviation, most)
				}
			}
		})
	}
}

func TestOptionsThatMakeNoModelPanicWithAllFaults(t *testing.T) {
	defer func() {
		got, _ := recover().(string)
		for _, want := range []string{
			"4 heads, want a multiple of the 3 KV heads", "vocabulary of 10 tokens, want 264 or more",
			"Hidden is 64, want a multiple of 256 for matrices of q4_k", "Layers is -1, want 1 or more",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("panic %q, want %q in it", got, want)
			}
		}
	}()
	testmodel.Llama(testmodel.Options{Layers: -1, KVHeads: 3, Vocab: 10, Type: ggml.Q4_K})
}

func TestWriteFileWritesAModelThatOpens(t *testing.T) {
	f, err := gguf.Open(testmodel.WriteFile(t, testmodel.Options{Layers: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Architecture(), "llama"; got != want {
		t.Errorf("architecture %q, want %q", got, want)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestTypesOfFilesAndOfGgmlAgree(t *testing.T) {
	for n := range 64 {
		want := ggml.Type(n)
		if strings.HasPrefix(want.String(), "type") {
			continue // not one of those that ebb computes with
		}
		got := gguf.Type(n)
		if got.String() != want.String() || got.BlockSize() != want.BlockSize() || got.RowSize(256) != want.RowSize(256) {
			t.Errorf("type %d is %s, %d elements in %d bytes, want %s, %d in %d",
				n, got, got.BlockSize(), got.RowSize(256), want, want.BlockSize(), want.RowSize(256))
		}
	}
}
