// Package oracle asks libllama's grammar sampler what may come next: a second opinion on package
// grammar. Nothing but tests imports it.
package oracle

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/seed4d217819/ebb/internal/libllama"
)

// ErrClosed is returned by calls on a Vocab or Grammar that was closed.
var ErrClosed = errors.New("oracle: closed")

// library is libllama with the functions of the grammar sampler.
type library struct {
	*libllama.Library

	grammarInit   func(vocab uintptr, grammar, root string) uintptr
	samplerApply  func(sampler uintptr, tokens unsafe.Pointer)
	samplerAccept func(sampler uintptr, id int32)
	samplerClone  func(sampler uintptr) uintptr
	samplerFree   func(sampler uintptr)
}

var load = sync.OnceValues(func() (*library, error) {
	base, err := libllama.Load()
	if err != nil {
		return nil, err
	}
	l := &library{Library: base}
	return l, l.Bind(
		libllama.Function{Name: "llama_sampler_init_grammar", Into: &l.grammarInit},
		libllama.Function{Name: "llama_sampler_apply", Into: &l.samplerApply},
		libllama.Function{Name: "llama_sampler_accept", Into: &l.samplerAccept},
		libllama.Function{Name: "llama_sampler_clone", Into: &l.samplerClone},
		libllama.Function{Name: "llama_sampler_free", Into: &l.samplerFree},
	)
})

// Vocab is the vocabulary of a GGUF file.
type Vocab struct {
	lib    *library
	model  uintptr // 0: closed
	handle uintptr
	size   int
}

// OpenVocab opens the vocabulary of the GGUF file at path. The caller closes it.
func OpenVocab(path string) (*Vocab, error) {
	l, err := load()
	if err != nil {
		return nil, err
	}
	model, err := l.OpenModel(path, func(p *libllama.ModelParams) { p.VocabOnly = true })
	if err != nil {
		return nil, err
	}
	v := &Vocab{lib: l, model: model}
	v.handle, v.size = l.Vocab(model)
	return v, nil
}

// Close frees the vocabulary. It does nothing the second time.
func (v *Vocab) Close() error {
	if v.model != 0 {
		v.lib.FreeModel(v.model)
		v.model = 0
	}
	return nil
}

// tokenData is struct llama_token_data of llama.h.
//
// ABI (64-bit, version 0.5): 12 bytes; id@0 logit@4 p@8.
type tokenData struct {
	id    int32
	logit float32
	p     float32
}

// tokenDataArray is struct llama_token_data_array of llama.h.
//
// ABI (64-bit, version 0.5): 32 bytes; data@0 size@8 selected@16 sorted@24.
type tokenDataArray struct {
	data     *tokenData
	size     uintptr
	selected int64
	sorted   bool
	_        [7]bool
}

// Grammar is libllama's grammar sampler. Nothing is generated with it, for three reasons. It looks
// at the whole vocabulary for each token, which takes longer than a step of a small model. It
// follows every way to read a text by itself, so a grammar of 30 short rules takes all memory, and
// one with deep parentheses overflows the stack: give it none of unknown origin. And it writes why
// it cannot read a grammar to standard error.
//
// Use a Grammar from one goroutine at a time, while its vocabulary is open.
type Grammar struct {
	vocab  *Vocab
	handle uintptr // 0: closed
	tokens []tokenData
}

// NewGrammar reads a grammar in GBNF whose start is the rule root. The caller closes it.
func (v *Vocab) NewGrammar(gbnf string) (*Grammar, error) {
	switch {
	case gbnf == "":
		return nil, errors.New("oracle: new grammar: no text") // libllama takes it for one that allows everything
	case strings.ContainsRune(gbnf, 0):
		return nil, errors.New("oracle: new grammar: the text contains a zero byte")
	}
	if v.model == 0 {
		return nil, ErrClosed
	}
	var handle uintptr
	why := v.lib.Reported(func() { handle = v.lib.grammarInit(v.handle, gbnf, "root") })
	if handle == 0 {
		return nil, fmt.Errorf("oracle: new grammar: %w", why)
	}
	return &Grammar{vocab: v, handle: handle}, nil
}

// Allowed returns the ids of the tokens that may come next, ascending, those that end a text among
// them.
func (g *Grammar) Allowed() ([]int32, error) {
	ids := make([]int32, g.vocab.size)
	for i := range ids {
		ids[i] = int32(i)
	}
	return g.allowed(ids)
}

// allowed returns those of ids that may come next, in their memory.
func (g *Grammar) allowed(ids []int32) ([]int32, error) {
	if g.vocab.model == 0 || g.handle == 0 {
		return nil, ErrClosed
	}
	g.tokens = g.tokens[:0]
	for _, id := range ids {
		g.tokens = append(g.tokens, tokenData{id: id})
	}
	array := tokenDataArray{data: unsafe.SliceData(g.tokens), size: uintptr(len(g.tokens)), selected: -1}
	g.vocab.lib.samplerApply(g.handle, unsafe.Pointer(&array))
	runtime.KeepAlive(g.tokens)
	ids = ids[:0]
	for _, t := range g.tokens {
		if !math.IsInf(float64(t.logit), -1) {
			ids = append(ids, t.id)
		}
	}
	return ids, nil
}

// Accept goes on with a token. One that may not come is an error: libllama would end the process.
func (g *Grammar) Accept(id int32) error {
	if id < 0 || int(id) >= g.vocab.size {
		return fmt.Errorf("oracle: grammar: id %d is outside the vocabulary of %d tokens", id, g.vocab.size)
	}
	switch allowed, err := g.allowed([]int32{id}); {
	case err != nil:
		return err
	case len(allowed) == 0:
		return fmt.Errorf("oracle: grammar: token %d may not come here", id)
	}
	if g.vocab.model == 0 {
		return ErrClosed
	}
	g.vocab.lib.samplerAccept(g.handle, id)
	return nil
}

// Clone returns a grammar that is where g is, and goes on by itself. The caller closes it too.
func (g *Grammar) Clone() (*Grammar, error) {
	if g.vocab.model == 0 || g.handle == 0 {
		return nil, ErrClosed
	}
	return &Grammar{vocab: g.vocab, handle: g.vocab.lib.samplerClone(g.handle)}, nil
}

// Close frees the grammar, also after its vocabulary was closed. It does nothing the second time.
func (g *Grammar) Close() error {
	if g.handle != 0 {
		g.vocab.lib.samplerFree(g.handle)
		g.handle = 0
	}
	return nil
}
