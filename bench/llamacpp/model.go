package llamacpp

import (
	"fmt"
	"sync"

	"github.com/seed4d217819/ebb/internal/libllama"
)

// Model is a whole model with its weights in host memory, which llama.cpp runs on the CPU. It may
// be used from several goroutines at once.
type Model struct {
	lib     *library
	handle  uintptr
	vocab   int
	window  int  // tokens that layers with a window see; 0: there are none
	hybrid  bool // some layers carry a state
	mu      sync.Mutex
	users   int // open contexts
	closing bool
}

// OpenModel loads the GGUF file at path as llama.cpp does by itself: weights of types such as Q4_0
// are copied into a layout that its CPU kernels run faster on. No other device than the CPU is
// used. The caller closes the model after its contexts.
func OpenModel(path string) (*Model, error) {
	l, err := load()
	if err != nil {
		return nil, err
	}
	handle, err := l.OpenModel(path, func(p *libllama.ModelParams) {
		p.Devices = new(uintptr) // an empty list: no GPU
		p.GPULayers = 0
		p.ExtraBuffers = true
	})
	if err != nil {
		return nil, err
	}
	_, size := l.Vocab(handle)
	return &Model{lib: l, handle: handle, vocab: size, window: int(l.window(handle)), hybrid: l.hybrid(handle)}, nil
}

// VocabSize returns the number of ids, which is also the number of logits.
func (m *Model) VocabSize() int { return m.vocab }

// Close frees the weights. It fails while contexts of the model are open, and does nothing the
// second time.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users > 0 {
		return fmt.Errorf("llama: close model: %d of its contexts are still open", m.users)
	}
	if !m.closing {
		m.closing = true
		m.lib.FreeModel(m.handle)
	}
	return nil
}
