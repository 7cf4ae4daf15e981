package llama

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
)

// modelParams is struct llama_model_params of llama.h.
//
// ABI (64-bit, version 0.5): 80 bytes; devices@0 n_gpu_layers@16 split_mode@20
// load_mode@24 lazy_mode@28 main_gpu@32 tensor_split@40 kv_overrides@64
// vocab_only@72 use_extra_bufts@74 load_mtp@77.
type modelParams struct {
	devices             *uintptr
	tensorBuftOverrides uintptr
	nGPULayers          int32
	splitMode           int32
	loadMode            int32
	lazyMode            int32
	mainGPU             int32
	_                   int32
	tensorSplit         uintptr
	progress            uintptr
	progressUser        uintptr
	kvOverrides         uintptr
	vocabOnly           bool
	checkTensors        bool
	useExtraBufts       bool
	noHost              bool
	noAlloc             bool
	loadMTP             bool
	_                   [2]bool
}

// ModelOptions says how OpenModel loads weights. The zero value is what
// llama.cpp does by itself.
type ModelOptions struct {
	// NoRepack keeps weights in the layout of the file. llama.cpp otherwise
	// copies types such as Q4_0 into a layout that its CPU kernels run faster on.
	NoRepack bool
}

// Model is a whole model with its weights in host memory, to be run by llama.cpp
// on the CPU. It may be used from several goroutines.
type Model struct {
	lib     *library
	handle  uintptr
	vocab   int
	mu      sync.Mutex
	users   int // open contexts
	closing bool
}

// OpenModel loads the GGUF file at path. No other device than the CPU is used.
// The caller closes the model, after its contexts.
func OpenModel(path string, o ModelOptions) (*Model, error) {
	l, err := load()
	if err != nil {
		return nil, err
	}
	handle, err := l.open(path, func(p *modelParams) {
		p.devices = new(uintptr) // an empty list: no GPU
		p.nGPULayers = 0
		p.useExtraBufts = !o.NoRepack
	})
	if err != nil {
		return nil, err
	}
	return &Model{lib: l, handle: handle, vocab: int(l.vocabSize(l.modelVocab(handle)))}, nil
}

// VocabSize is the number of ids, and of logits.
func (m *Model) VocabSize() int { return m.vocab }

// Close frees the weights. It fails while contexts of the model are open, and
// does nothing the second time.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users > 0 {
		return fmt.Errorf("llama: close model: %d of its contexts are still open", m.users)
	}
	if !m.closing {
		m.closing = true
		m.lib.modelFree(m.handle)
	}
	return nil
}

// open loads a file with the default parameters as changed by adjust, and
// returns the C model.
func (l *library) open(path string, adjust func(*modelParams)) (uintptr, error) {
	if strings.ContainsRune(path, 0) {
		return 0, fmt.Errorf("llama: open %q: the name contains a zero byte", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("llama: %w", err)
	}
	if info.IsDir() {
		return 0, fmt.Errorf("llama: open %s: is a folder; want a GGUF file", path)
	}
	params := l.modelDefaultParams()
	adjust(&params)
	var handle uintptr
	reported := l.log.during(func() { handle = l.modelLoad(path, params) })
	runtime.KeepAlive(params.devices)
	if handle == 0 {
		return 0, fmt.Errorf("llama: open %s: %w", path, failure(reported))
	}
	return handle, nil
}

// failure makes an error of what libllama reported.
func failure(reported string) error {
	if reported == "" {
		reported = "libllama gave no reason"
	}
	return errors.New(reported)
}
