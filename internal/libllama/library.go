package libllama

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/ebitengine/purego"

	"github.com/seed4d217819/ebb/ggml"
)

// ErrNoLibrary reports that the folder of the ggml libraries holds no libllama. A libllama from elsewhere would bring
// another ggml with it, so no other folder is searched.
var ErrNoLibrary = errors.New("llama: libllama not found")

// wantVersion is the series of libllama whose structs the callers describe. C functions take parameters by value, so
// another series is refused instead of being handed a struct of another size.
const wantVersion = "0.5."

// Library is the loaded libllama. All methods may be called from several goroutines at once.
type Library struct {
	path   string
	handle uintptr
	log    log // what libllama reported

	version            func() string
	logSet             func(callback, user uintptr)
	ggmlLogGet         func(callback, user *uintptr)
	ggmlLogSet         func(callback, user uintptr)
	modelDefaultParams func() ModelParams
	modelLoad          func(path string, params ModelParams) uintptr
	modelFree          func(model uintptr)
	modelVocab         func(model uintptr) uintptr
	vocabSize          func(vocab uintptr) int32
}

// Function is a C function to bind: its name, and a pointer to the Go function that shall call it.
type Function struct {
	Name string
	Into any
}

// Load finds libllama and binds what all callers need of it. The result is the same for all calls: a library cannot be
// loaded again from another place.
var Load = sync.OnceValues(func() (*Library, error) {
	base, err := ggml.Load()
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	path, err := find(base.Dir())
	if err != nil {
		return nil, err
	}
	handle, err := dlopen(path)
	if err != nil {
		return nil, fmt.Errorf("llama: load %s: %w", path, err)
	}
	l := &Library{path: path, handle: handle}
	err = l.Bind(
		Function{"llama_version", &l.version},
		Function{"llama_log_set", &l.logSet},
		Function{"ggml_log_get", &l.ggmlLogGet},
		Function{"ggml_log_set", &l.ggmlLogSet},
		Function{"llama_model_default_params", &l.modelDefaultParams},
		Function{"llama_model_load_from_file", &l.modelLoad},
		Function{"llama_model_free", &l.modelFree},
		Function{"llama_model_get_vocab", &l.modelVocab},
		Function{"llama_vocab_n_tokens", &l.vocabSize},
	)
	if err != nil {
		return nil, err
	}
	if v := l.version(); !strings.HasPrefix(v, wantVersion) {
		return nil, fmt.Errorf("llama: %s is version %s; this program needs %sx", path, v, wantVersion)
	}
	l.quiet()
	return l, nil
})

// Version returns the version of libllama, as in 0.5.0.
func (l *Library) Version() string { return l.version() }

// Symbol returns the address of a C function of libllama or of a library that it was linked with, such as ggml.
func (l *Library) Symbol(name string) (uintptr, error) {
	address, err := dlsym(l.handle, name)
	if err != nil {
		return 0, fmt.Errorf("llama: %s: %w", l.path, err)
	}
	return address, nil
}

// Bind binds C functions, which libllama or a library that it was linked with must have.
func (l *Library) Bind(functions ...Function) error {
	for _, f := range functions {
		address, err := l.Symbol(f.Name)
		if err != nil {
			return err
		}
		purego.RegisterFunc(f.Into, address)
	}
	return nil
}

// find returns the libllama in dir. Builds name it libllama.so or, with a flavour and a version in the middle,
// libllama.vulkan.v0.5.0.so.
func find(dir string) (string, error) {
	for _, pattern := range fileNames() {
		names, err := fs.Glob(os.DirFS(dir), pattern)
		if err == nil && len(names) > 0 {
			return filepath.Join(dir, names[0]), nil
		}
	}
	return "", fmt.Errorf("%w: no %s next to ggml in %s", ErrNoLibrary, strings.Join(fileNames(), " or "), dir)
}
