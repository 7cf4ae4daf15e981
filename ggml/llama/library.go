package llama

import (
	"sync"
	"unsafe"

	"github.com/seed4d217819/ebb/internal/libllama"
)

// ErrNoLibrary reports that the folder of the ggml libraries holds no libllama. A libllama from
// elsewhere would bring another ggml with it, so no other folder is searched.
var ErrNoLibrary = libllama.ErrNoLibrary

// library is libllama with the functions of vocabularies.
type library struct {
	*libllama.Library

	vocabType   func(vocab uintptr) int32
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

	// vocabIsEOG is called once for every id of a vocabulary, so the address is kept for the
	// cheaper SyscallN.
	vocabIsEOG uintptr
}

// load loads libllama and binds these functions, once a process.
var load = sync.OnceValues(func() (*library, error) {
	base, err := libllama.Load()
	if err != nil {
		return nil, err
	}
	l := &library{Library: base}
	if err := l.bind(); err != nil {
		return nil, err
	}
	return l, nil
})

// Version returns the version of libllama, as in 0.5.0.
func Version() (string, error) {
	l, err := load()
	if err != nil {
		return "", err
	}
	return l.Version(), nil
}

func (l *library) bind() error {
	err := l.Bind([]libllama.Function{
		{Name: "llama_vocab_type", Into: &l.vocabType},
		{Name: "llama_vocab_bos", Into: &l.vocabBOS},
		{Name: "llama_vocab_eos", Into: &l.vocabEOS},
		{Name: "llama_vocab_eot", Into: &l.vocabEOT},
		{Name: "llama_vocab_sep", Into: &l.vocabSep},
		{Name: "llama_vocab_get_add_bos", Into: &l.vocabAddBOS},
		{Name: "llama_vocab_get_add_eos", Into: &l.vocabAddEOS},
		{Name: "llama_vocab_get_text", Into: &l.vocabText},
		{Name: "llama_vocab_get_attr", Into: &l.vocabAttr},
		{Name: "llama_tokenize", Into: &l.tokenize},
		{Name: "llama_token_to_piece", Into: &l.piece},
		{Name: "llama_detokenize", Into: &l.detokenize},
	}...)
	if err != nil {
		return err
	}
	l.vocabIsEOG, err = l.Symbol("llama_vocab_is_eog")
	return err
}
