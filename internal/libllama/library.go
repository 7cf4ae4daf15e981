package libllama

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/ebitengine/purego"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/dl"
)

// ErrNoLibrary reports that the folder of the ggml libraries holds no libllama. A libllama from
// elsewhere would bring another ggml with it, so no other folder is searched.
var ErrNoLibrary = errors.New("llama: libllama not found")

// accepted are the series of libllama whose structs the callers describe. C functions take
// parameters by value, so another series is refused: its structs may have another size.
var accepted = [...]string{"0.5.", "0.4."}

// Library is the loaded libllama. All methods may be called from several goroutines at once.
type Library struct {
	path   string
	handle dl.Library
	ggml   *ggml.Library // that libllama was linked with
	log    log           // what libllama reported

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

// Function is a C function to bind: its name, and a pointer to the Go function variable that calls
// it.
type Function struct {
	Name string
	Into any
}

// Load finds libllama and binds the functions that all callers need. All calls return the same
// result: a library cannot be loaded again from another place.
var Load = sync.OnceValues(func() (*Library, error) {
	base, err := ggml.Load()
	if err != nil {
		return nil, fmt.Errorf("llama: %w", err)
	}
	path, err := find(base.Dir(), runtime.GOOS)
	if err != nil {
		return nil, err
	}
	handle, err := dl.Open(path, false)
	if err != nil {
		return nil, fmt.Errorf("llama: load %s: %w", path, err)
	}
	l := &Library{path: path, handle: handle, ggml: base}
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
	if err := checkVersion(l.version()); err != nil {
		return nil, fmt.Errorf("llama: %s %w", path, err)
	}
	l.quiet()
	return l, nil
})

// Version returns the version of libllama, as in 0.5.0.
func (l *Library) Version() string { return l.version() }

// Symbol returns the address of a C function of libllama or of ggml.
func (l *Library) Symbol(name string) (uintptr, error) {
	find := l.handle.Symbol
	if strings.HasPrefix(name, "ggml_") {
		find = l.ggml.Symbol // Windows does not search the libraries that libllama was linked with
	}
	address, err := find(name)
	if err != nil {
		return 0, fmt.Errorf("llama: %s: %w", l.path, err)
	}
	return address, nil
}

// Bind binds C functions of libllama or of ggml.
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

// checkVersion refuses each version that is not accepted.
func checkVersion(found string) error {
	for _, series := range accepted {
		if strings.HasPrefix(found, series) {
			return nil
		}
	}
	return fmt.Errorf("is version %s; this program needs %sx", found, strings.Join(accepted[:], "x or "))
}

// find returns the libllama in dir. Builds name it libllama.so or, with a flavour and a version in
// the middle, libllama.vulkan.v0.5.0.so.
func find(dir, goos string) (string, error) {
	patterns := filePatterns(goos)
	for _, pattern := range patterns {
		names, err := fs.Glob(os.DirFS(dir), pattern)
		if err == nil && len(names) > 0 {
			return filepath.Join(dir, names[0]), nil
		}
	}
	return "", fmt.Errorf("%w: no %s next to ggml in %s", ErrNoLibrary, strings.Join(patterns, " or "), dir)
}

// filePatterns returns the names that libllama's file has on a system.
func filePatterns(goos string) []string {
	switch goos {
	case "darwin":
		return []string{"libllama.dylib", "libllama.*.dylib"}
	case "windows":
		return []string{"llama.dll", "llama.*.dll"}
	default:
		return []string{"libllama.so*", "libllama.*.so"}
	}
}
