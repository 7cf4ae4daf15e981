package libllama

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// ModelParams is struct llama_model_params of llama.h.
//
// ABI (64-bit, version 0.5): 80 bytes; devices@0 n_gpu_layers@16 split_mode@20 load_mode@24 lazy_mode@28 main_gpu@32
// tensor_split@40 kv_overrides@64 vocab_only@72 use_extra_bufts@74 load_mtp@77.
type ModelParams struct {
	Devices             *uintptr // a list that a null pointer ends; nil: all devices
	tensorBuftOverrides uintptr
	GPULayers           int32
	splitMode           int32
	loadMode            int32
	lazyMode            int32
	mainGPU             int32
	_                   int32
	tensorSplit         uintptr
	progress            uintptr
	progressUser        uintptr
	kvOverrides         uintptr
	VocabOnly           bool // weights are not read
	checkTensors        bool
	ExtraBuffers        bool // weights may be repacked
	noHost              bool
	noAlloc             bool
	loadMTP             bool
	_                   [2]bool
}

// OpenModel loads the GGUF file at path with libllama's default parameters as changed by adjust,
// and returns the C model. The caller frees it.
func (l *Library) OpenModel(path string, adjust func(*ModelParams)) (model uintptr, err error) {
	if strings.ContainsRune(path, 0) {
		return 0, fmt.Errorf("llama: open %q: the name contains a zero byte", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("llama: %w", err)
	}
	if info.IsDir() {
		return 0, fmt.Errorf("llama: open %s: it is a folder; want a GGUF file", path)
	}
	params := l.modelDefaultParams()
	adjust(&params)
	why := l.Reported(func() { model = l.modelLoad(path, params) })
	runtime.KeepAlive(params.Devices)
	if model == 0 {
		return 0, fmt.Errorf("llama: open %s: %w", path, why)
	}
	return model, nil
}

// FreeModel frees a C model.
func (l *Library) FreeModel(model uintptr) { l.modelFree(model) }

// Vocab returns the C vocabulary of a C model, which lives as long as the model, and its number of
// tokens.
func (l *Library) Vocab(model uintptr) (vocab uintptr, size int) {
	vocab = l.modelVocab(model)
	return vocab, int(l.vocabSize(vocab))
}
