package llama

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/seed4d217819/ebb/ggml"
)

// ErrNoLibrary says that the folder of the ggml libraries holds no libllama. A
// libllama from elsewhere would bring another ggml with it, so none is looked for.
var ErrNoLibrary = errors.New("llama: libllama not found")

// wantVersion is the series of libllama whose structs model.go and context.go
// describe. Parameters are passed by value, so another series is refused instead
// of being handed a struct of another size.
const wantVersion = "0.5."

// library holds the C functions of libllama and of the ggml it was linked with.
type library struct {
	log log // what libllama reported

	version            func() string
	logSet             func(callback, user uintptr)
	ggmlLogGet         func(callback, user *uintptr)
	ggmlLogSet         func(callback, user uintptr)
	modelDefaultParams func() modelParams
	modelLoad          func(path string, params modelParams) uintptr
	modelFree          func(model uintptr)
	modelVocab         func(model uintptr) uintptr

	vocabType   func(vocab uintptr) int32
	vocabSize   func(vocab uintptr) int32
	vocabBOS    func(vocab uintptr) int32
	vocabEOS    func(vocab uintptr) int32
	vocabEOT    func(vocab uintptr) int32
	vocabSep    func(vocab uintptr) int32
	vocabAddBOS func(vocab uintptr) bool
	vocabAddEOS func(vocab uintptr) bool
	vocabText   func(vocab uintptr, id int32) string
	vocabAttr   func(vocab uintptr, id int32) int32
	tokenize    func(vocab uintptr, text unsafe.Pointer, length int32, ids unsafe.Pointer, maxIDs int32, addSpecial, parseSpecial bool) int32
	piece       func(vocab uintptr, id int32, text unsafe.Pointer, length, strip int32, special bool) int32
	detokenize  func(vocab uintptr, ids unsafe.Pointer, n int32, text unsafe.Pointer, length int32, removeSpecial, unparseSpecial bool) int32

	grammarInit   func(vocab uintptr, grammar, root string) uintptr
	samplerApply  func(sampler uintptr, tokens unsafe.Pointer)
	samplerAccept func(sampler uintptr, id int32)
	samplerClone  func(sampler uintptr) uintptr
	samplerFree   func(sampler uintptr)

	contextDefaultParams func() contextParams
	contextInit          func(model uintptr, params contextParams) uintptr
	contextFree          func(context uintptr)
	decode               func(context uintptr, b batch) int32
	logitsAt             func(context uintptr, i int32) unsafe.Pointer
	memory               func(context uintptr) uintptr
	memoryClear          func(memory uintptr, data bool)
	memoryRemove         func(memory uintptr, seq, from, to int32) bool
	memoryCopy           func(memory uintptr, seqFrom, seqTo, from, to int32)
	stateSize            func(context uintptr, seq int32) uintptr
	stateGet             func(context uintptr, to unsafe.Pointer, size uintptr, seq int32) uintptr
	stateSet             func(context uintptr, from unsafe.Pointer, size uintptr, seq int32) uintptr
	attachThreadpool     func(context, pool, poolBatch uintptr)
	detachThreadpool     func(context uintptr)
	regByName            func(name string) uintptr
	procAddress          func(reg uintptr, name string) uintptr
	threadpoolParamsInit func(params unsafe.Pointer, threads int32)

	// vocabIsEOG is called once for every id of a vocabulary, so it goes by its
	// address through the cheaper SyscallN.
	vocabIsEOG uintptr
}

// load finds libllama and binds it. The result is the same for all calls: a
// library cannot be loaded again from another place.
var load = sync.OnceValues(func() (*library, error) {
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
	l := new(library)
	if err := l.bind(handle); err != nil {
		return nil, fmt.Errorf("llama: %s: %w", path, err)
	}
	if v := l.version(); !strings.HasPrefix(v, wantVersion) {
		return nil, fmt.Errorf("llama: %s is version %s; this program needs %sx", path, v, wantVersion)
	}
	l.quiet()
	return l, nil
})

// Version returns the version of libllama, as in 0.5.0.
func Version() (string, error) {
	l, err := load()
	if err != nil {
		return "", err
	}
	return l.version(), nil
}

// find returns the libllama in dir. Builds name it libllama.so or, with a
// flavour and a version in the middle, libllama.vulkan.v0.5.0.so.
func find(dir string) (string, error) {
	for _, pattern := range fileNames() {
		names, err := fs.Glob(os.DirFS(dir), pattern)
		if err == nil && len(names) > 0 {
			return filepath.Join(dir, names[0]), nil
		}
	}
	return "", fmt.Errorf("%w: no %s next to ggml in %s", ErrNoLibrary, strings.Join(fileNames(), " or "), dir)
}

// bind looks every function up in the library and in those it depends on.
func (l *library) bind(handle uintptr) error {
	for _, f := range []struct {
		name string
		fn   any
	}{
		{"llama_version", &l.version},
		{"llama_log_set", &l.logSet},
		{"ggml_log_get", &l.ggmlLogGet},
		{"ggml_log_set", &l.ggmlLogSet},
		{"llama_model_default_params", &l.modelDefaultParams},
		{"llama_model_load_from_file", &l.modelLoad},
		{"llama_model_free", &l.modelFree},
		{"llama_model_get_vocab", &l.modelVocab},
		{"llama_vocab_type", &l.vocabType},
		{"llama_vocab_n_tokens", &l.vocabSize},
		{"llama_vocab_bos", &l.vocabBOS},
		{"llama_vocab_eos", &l.vocabEOS},
		{"llama_vocab_eot", &l.vocabEOT},
		{"llama_vocab_sep", &l.vocabSep},
		{"llama_vocab_get_add_bos", &l.vocabAddBOS},
		{"llama_vocab_get_add_eos", &l.vocabAddEOS},
		{"llama_vocab_get_text", &l.vocabText},
		{"llama_vocab_get_attr", &l.vocabAttr},
		{"llama_tokenize", &l.tokenize},
		{"llama_token_to_piece", &l.piece},
		{"llama_detokenize", &l.detokenize},
		{"llama_sampler_init_grammar", &l.grammarInit},
		{"llama_sampler_apply", &l.samplerApply},
		{"llama_sampler_accept", &l.samplerAccept},
		{"llama_sampler_clone", &l.samplerClone},
		{"llama_sampler_free", &l.samplerFree},
		{"llama_context_default_params", &l.contextDefaultParams},
		{"llama_init_from_model", &l.contextInit},
		{"llama_free", &l.contextFree},
		{"llama_decode", &l.decode},
		{"llama_get_logits_ith", &l.logitsAt},
		{"llama_get_memory", &l.memory},
		{"llama_memory_clear", &l.memoryClear},
		{"llama_memory_seq_rm", &l.memoryRemove},
		{"llama_memory_seq_cp", &l.memoryCopy},
		{"llama_state_seq_get_size", &l.stateSize},
		{"llama_state_seq_get_data", &l.stateGet},
		{"llama_state_seq_set_data", &l.stateSet},
		{"llama_attach_threadpool", &l.attachThreadpool},
		{"llama_detach_threadpool", &l.detachThreadpool},
		{"ggml_backend_reg_by_name", &l.regByName},
		{"ggml_backend_reg_get_proc_address", &l.procAddress},
		{"ggml_threadpool_params_init", &l.threadpoolParamsInit},
	} {
		address, err := dlsym(handle, f.name)
		if err != nil {
			return err
		}
		purego.RegisterFunc(f.fn, address)
	}
	var err error
	l.vocabIsEOG, err = dlsym(handle, "llama_vocab_is_eog")
	return err
}
