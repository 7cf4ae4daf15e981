package llama

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"

	"github.com/seed4d217819/ebb/internal/libllama"
)

// ErrClosed is returned by calls on a Vocab that was closed.
var ErrClosed = errors.New("llama: vocabulary is closed")

// These values of enum llama_vocab_type are treated specially.
const (
	vocabNone = 0
	vocabSPM  = 1
	vocabBPE  = 2
	vocabWPM  = 3
)

// Vocab is the vocabulary of a GGUF file with its tokenizer. All methods may be called from several
// goroutines at once; Close waits for calls in progress.
type Vocab struct {
	lib                *library
	size               int
	kind               int32
	bos, eos, eot, sep int32 // -1: none
	addBOS, addEOS     bool
	eog                []int32   // ascending
	fallback           *fallback // nil: every text has tokens
	specials           func() [][]byte

	mu    sync.RWMutex // held by every call into C; written by Close
	model uintptr      // 0: closed
	vocab uintptr
}

// OpenVocab opens the vocabulary of the GGUF file at path. No weights are read and no device is
// used: SmolLM2's 49,152 tokens take a third of a second and 19 MB. The caller closes the
// vocabulary.
func OpenVocab(path string) (*Vocab, error) {
	l, err := load()
	if err != nil {
		return nil, err
	}
	model, err := l.OpenModel(path, func(p *libllama.ModelParams) { p.VocabOnly = true })
	if err != nil {
		return nil, err
	}
	vocab, size := l.Vocab(model)
	v := &Vocab{
		lib:    l,
		model:  model,
		vocab:  vocab,
		size:   size,
		kind:   l.vocabType(vocab),
		bos:    l.vocabBOS(vocab),
		eos:    l.vocabEOS(vocab),
		eot:    l.vocabEOT(vocab),
		sep:    l.vocabSep(vocab),
		addBOS: l.vocabAddBOS(vocab),
		addEOS: l.vocabAddEOS(vocab),
	}
	if v.kind == vocabNone || v.size <= 0 {
		l.FreeModel(model)
		return nil, fmt.Errorf("llama: open %s: the file has no vocabulary; want one with tokenizer.ggml.model and tokens", path)
	}
	for id := range int32(v.size) {
		// A C bool is one byte; the rest of the register is undefined.
		if r, _, _ := purego.SyscallN(l.vocabIsEOG, vocab, uintptr(id)); byte(r) != 0 {
			v.eog = append(v.eog, id)
		}
	}
	v.specials = sync.OnceValue(v.findSpecials)
	if v.kind == vocabSPM {
		v.fallback = newFallback(v.texts)
	}
	return v, nil
}

// texts yields every token as it is written in the file.
func (v *Vocab) texts(yield func(string) bool) {
	for id := range int32(v.size) {
		if !yield(v.lib.vocabText(v.vocab, id)) {
			return
		}
	}
}

// findSpecials returns the spellings that libllama looks for before it splits a text, which are
// those of control, unknown and user-defined tokens.
func (v *Vocab) findSpecials() [][]byte {
	const attributes = 1<<0 | 1<<3 | 1<<4 // LLAMA_TOKEN_ATTR_UNKNOWN, _CONTROL, _USER_DEFINED
	var all [][]byte
	for id := range int32(v.size) {
		if v.lib.vocabAttr(v.vocab, id)&attributes != 0 {
			all = append(all, []byte(v.lib.vocabText(v.vocab, id)))
		}
	}
	return all
}

// Size is the number of tokens; ids are 0 to Size-1.
func (v *Vocab) Size() int { return v.size }

// BOS returns the token that begins a text, and false where there is none.
func (v *Vocab) BOS() (int32, bool) { return v.bos, v.bos >= 0 }

// EOS returns the token that ends a text, and false where there is none.
func (v *Vocab) EOS() (int32, bool) { return v.eos, v.eos >= 0 }

// EOT returns the token that ends a turn of a chat, and false where there is none.
func (v *Vocab) EOT() (int32, bool) { return v.eot, v.eot >= 0 }

// AddBOS reports whether Tokenize puts BOS first when addSpecial is asked for.
func (v *Vocab) AddBOS() bool { return v.addBOS }

// EOG returns the tokens after which a model has nothing to say (EOS, EOT and the like), ascending.
// The caller may change the slice.
func (v *Vocab) EOG() []int32 { return slices.Clone(v.eog) }

// IsEOG reports whether id is one of EOG. Ids outside the vocabulary are not.
func (v *Vocab) IsEOG(id int32) bool {
	_, ok := slices.BinarySearch(v.eog, id)
	return ok
}

// Tokenize splits text into tokens. addSpecial adds the tokens that the file wants around a text
// (BOS, EOS); parseSpecial reads the spellings of control tokens, such as <|im_end|>, as those
// tokens and not as text: leave it off for text that somebody else wrote.
//
// Any bytes may be given: each byte that is not UTF-8 counts as U+FFFD, except surrogates in three
// bytes, which are kept. In text that runs on for more than 4096 characters without white space or
// punctuation, the tokens around each 4096th may differ from those of libllama alone, which may not
// survive it.
func (v *Vocab) Tokenize(text []byte, addSpecial, parseSpecial bool) ([]int32, error) {
	text = repair(text)
	if err := v.check(text, addSpecial); err != nil {
		return nil, err
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.model == 0 {
		return nil, ErrClosed
	}
	parts := [][]byte{text}
	if v.kind == vocabBPE {
		parts = cutRuns(text, v.specials)
	}
	if len(parts) == 1 {
		return v.tokenize(text, addSpecial, parseSpecial)
	}
	var ids []int32
	if addSpecial && v.addBOS {
		ids = append(ids, v.bos)
	}
	for _, part := range parts {
		more, err := v.tokenize(part, false, parseSpecial)
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	if addSpecial && v.addEOS {
		ids = append(ids, v.eos)
	}
	return ids, nil
}

// tokenize calls libllama with text that libllama accepts.
func (v *Vocab) tokenize(text []byte, addSpecial, parseSpecial bool) ([]int32, error) {
	in := text
	if len(in) == 0 {
		in = make([]byte, 1) // an address is wanted even for no bytes
	}
	ids := make([]int32, len(text)/2+8)
	for {
		n := v.lib.tokenize(v.vocab, unsafe.Pointer(unsafe.SliceData(in)), int32(len(text)),
			unsafe.Pointer(unsafe.SliceData(ids)), int32(len(ids)), addSpecial, parseSpecial)
		switch {
		case n == math.MinInt32:
			return nil, fmt.Errorf("llama: tokenize %d bytes: more than %d tokens", len(text), math.MaxInt32)
		case n < 0 && int(-n) > len(ids):
			ids = make([]int32, -n)
		case n < 0:
			return nil, fmt.Errorf("llama: tokenize %d bytes: libllama asks for %d tokens of room in %d", len(text), -n, len(ids))
		default:
			return ids[:n:n], nil
		}
	}
}

// check refuses text for which libllama would end the process.
func (v *Vocab) check(text []byte, addSpecial bool) error {
	if len(text) > math.MaxInt32 {
		return fmt.Errorf("llama: tokenize: text has %d bytes; at most %d", len(text), math.MaxInt32)
	}
	if addSpecial {
		needBOS := v.addBOS || v.kind == vocabWPM
		switch {
		case needBOS && v.bos < 0:
			return errors.New("llama: tokenize: the file asks for BOS (tokenizer.ggml.add_bos_token) but names none (tokenizer.ggml.bos_token_id)")
		case v.addEOS && v.eos < 0:
			return errors.New("llama: tokenize: the file asks for EOS (tokenizer.ggml.add_eos_token) but names none (tokenizer.ggml.eos_token_id)")
		case v.kind == vocabWPM && v.sep < 0:
			return errors.New("llama: tokenize: a BERT vocabulary needs a separator (tokenizer.ggml.seperator_token_id) and names none")
		}
	}
	if char, found := v.fallback.missing(" " + string(text)); found {
		return fmt.Errorf("llama: tokenize: %q is not a token of this vocabulary, which has no byte tokens to spell it", char)
	}
	return nil
}

// Detokenize returns the text of ids, as bytes: a token may hold a part of a character.
// removeSpecial drops the BOS and EOS that Tokenize would add; special spells control tokens out
// where it would otherwise leave them out.
//
// libllama tidies up the text of some vocabularies ("so ?" becomes "so?"), so the result may differ
// from the text that was tokenized; joined [Vocab.Piece]s do not.
func (v *Vocab) Detokenize(ids []int32, removeSpecial, special bool) ([]byte, error) {
	for i, id := range ids {
		if id < 0 || int(id) >= v.size {
			return nil, fmt.Errorf("llama: detokenize: id %d at index %d is outside the vocabulary of %d tokens", id, i, v.size)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	if len(ids) > math.MaxInt32 {
		return nil, fmt.Errorf("llama: detokenize: %d ids; at most %d", len(ids), math.MaxInt32)
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.model == 0 {
		return nil, ErrClosed
	}
	text := make([]byte, 6*len(ids)+32)
	for {
		n := v.lib.detokenize(v.vocab, unsafe.Pointer(unsafe.SliceData(ids)), int32(len(ids)),
			unsafe.Pointer(unsafe.SliceData(text)), int32(min(len(text), math.MaxInt32)), removeSpecial, special)
		switch {
		case n < 0 && int(-n) > len(text):
			text = make([]byte, -n)
		case n < 0:
			return nil, fmt.Errorf("llama: detokenize %d ids: libllama asks for %d bytes of room in %d", len(ids), -n, len(text))
		default:
			return text[:n:n], nil
		}
	}
}

// Piece returns the bytes of one token as they stand inside a text: a leading space is kept. With
// special a control token is spelled out; without it the result is empty for one.
func (v *Vocab) Piece(id int32, special bool) ([]byte, error) {
	if id < 0 || int(id) >= v.size {
		return nil, fmt.Errorf("llama: piece: id %d is outside the vocabulary of %d tokens", id, v.size)
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.model == 0 {
		return nil, ErrClosed
	}
	text := make([]byte, 32)
	for {
		n := v.lib.piece(v.vocab, id, unsafe.Pointer(unsafe.SliceData(text)), int32(len(text)), 0, special)
		switch {
		case n < 0 && int(-n) > len(text):
			text = make([]byte, -n)
		case n < 0:
			return nil, fmt.Errorf("llama: piece of id %d: libllama asks for %d bytes of room in %d", id, -n, len(text))
		default:
			return text[:n:n], nil
		}
	}
}

// Close waits for the calls in progress and frees the vocabulary. Further calls do nothing.
func (v *Vocab) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.model != 0 {
		v.lib.FreeModel(v.model)
		v.model, v.vocab = 0, 0
	}
	return nil
}
