package libllama

import (
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// The numbers are sizeof and offsetof of llama.h, printed by a C compiler.
func TestModelParamsHaveTheLayoutOfTheHeader(t *testing.T) {
	var m ModelParams
	got := map[string]uintptr{
		"model":                 unsafe.Sizeof(m),
		"model.n_gpu_layers":    unsafe.Offsetof(m.GPULayers),
		"model.split_mode":      unsafe.Offsetof(m.splitMode),
		"model.load_mode":       unsafe.Offsetof(m.loadMode),
		"model.lazy_mode":       unsafe.Offsetof(m.lazyMode),
		"model.main_gpu":        unsafe.Offsetof(m.mainGPU),
		"model.tensor_split":    unsafe.Offsetof(m.tensorSplit),
		"model.kv_overrides":    unsafe.Offsetof(m.kvOverrides),
		"model.vocab_only":      unsafe.Offsetof(m.VocabOnly),
		"model.use_extra_bufts": unsafe.Offsetof(m.ExtraBuffers),
		"model.load_mtp":        unsafe.Offsetof(m.loadMTP),
	}
	want := map[string]uintptr{
		"model":                 80,
		"model.n_gpu_layers":    16,
		"model.split_mode":      20,
		"model.load_mode":       24,
		"model.lazy_mode":       28,
		"model.main_gpu":        32,
		"model.tensor_split":    40,
		"model.kv_overrides":    64,
		"model.vocab_only":      72,
		"model.use_extra_bufts": 74,
		"model.load_mtp":        77,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layouts differ (-want +got):\n%s", diff)
	}
}

// A library whose structs moved gives its defaults in other places.
func TestDefaultModelParamsLieWhereTheStructSays(t *testing.T) {
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	m := l.modelDefaultParams()
	if m.GPULayers != -1 || m.VocabOnly || !m.ExtraBuffers || m.Devices != nil {
		t.Errorf("n_gpu_layers %d, vocab_only %t, use_extra_bufts %t, devices %v; want -1, false, true, nil",
			m.GPULayers, m.VocabOnly, m.ExtraBuffers, m.Devices)
	}
}
