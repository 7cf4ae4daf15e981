package model

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// No device is given a copy of the weights of experts that the CPU computes, and the CPU makes none: it
// uses them where their file is mapped.
func TestExpertsOnTheCPUAreUsedWhereTheirFileIsMapped(t *testing.T) {
	const hidden, ff, count, matrix = 128, 128, 4, 128 * 128 * 4 * 4
	host := testmodel.CPU(t, 1)
	gpu := testmodel.Vulkan(t)
	tensor := func(name string, shape ...int64) gguf.TensorData {
		size := int64(4)
		for _, n := range shape {
			size *= n
		}
		return gguf.TensorData{Name: "blk.0." + name, Type: gguf.F32, Shape: shape, Data: make([]byte, size)}
	}
	var b bytes.Buffer
	if err := gguf.Write(&b, []gguf.KV{{Key: "general.architecture", Value: "test"}}, []gguf.TensorData{
		tensor("ffn_gate_inp.weight", hidden, count), tensor("ffn_gate_exps.weight", hidden, ff, count),
		tensor("ffn_up_exps.weight", hidden, ff, count), tensor("ffn_down_exps.weight", ff, hidden, count),
	}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "experts.gguf")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	l := NewLoader(f, Devices{Input: gpu, Output: gpu, Layers: []*ggml.Backend{gpu}, Experts: []*ggml.Backend{host}})
	l.Block(0).Experts(Mixture{Count: count, Used: 2, Gating: Softmax, Scale: 1}, hidden, ff)
	w, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	if len(w.inPlace) != 3 {
		t.Skip("cpu: it has a faster order for f32")
	}
	if u := host.Usage(); u.Mapped != 3*matrix || u.Current[ggml.Weights] != u.Mapped {
		t.Errorf("the CPU has %d bytes of weights, and maps %d of them, want %d of both", u.Current[ggml.Weights], u.Mapped, 3*matrix)
	}
	if got := gpu.Usage().Peak[ggml.Weights]; got < hidden*count*4 || got >= matrix {
		t.Errorf("%d bytes of weights on the device, want the router's %d", got, hidden*count*4)
	}
}
