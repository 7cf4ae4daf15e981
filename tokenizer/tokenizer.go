package tokenizer

import (
	"fmt"
	"strings"
	"sync"

	"github.com/seed4d217819/ebb/ggml/llama"
)

// Tokenizer is the tokenizer of one model. It may be used from several goroutines; Close waits for
// calls in progress.
type Tokenizer struct {
	vocab      *llama.Vocab
	spaceFirst bool // Encode puts a space in front of every text
	pieces     pieces

	mu     sync.Mutex
	holds  int  // that are not released
	closed bool // and freed with the last of them
}

// Options says how Encode reads a text. The zero value reads it as plain text that continues what
// was before it.
type Options struct {
	// AddSpecial adds the tokens that the model wants around a text, such as BOS. Leave it off for
	// a rendered chat template, which writes its own.
	AddSpecial bool
	// ParseSpecial reads the spelling of a special token, such as <|im_end|>, as that token. Leave
	// it off for text that is not trusted to end a turn.
	ParseSpecial bool
}

// Open opens the tokenizer of the GGUF file at path, or of the split model of which it is a part,
// without its weights. The caller closes it.
func Open(path string) (*Tokenizer, error) {
	first, err := checkVocabulary(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	v, err := llama.OpenVocab(first)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t := &Tokenizer{vocab: v}
	t.pieces.open(v.Size())
	if ids, err := v.Tokenize([]byte("a"), false, false); err == nil && len(ids) > 0 {
		t.spaceFirst = strings.HasPrefix(t.piece(ids[0], false), " ")
	}
	return t, nil
}

// Encode returns the ids of text. Bytes that are not UTF-8 count as U+FFFD.
func (t *Tokenizer) Encode(text string, o Options) ([]int32, error) {
	ids, err := t.vocab.Tokenize([]byte(text), o.AddSpecial, o.ParseSpecial)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return ids, nil
}

// Decode returns the text of ids; skipSpecial leaves special tokens out, and otherwise they are
// spelt as in the vocabulary. An id outside the vocabulary becomes U+FFFD. Tokens may hold parts of
// characters, so the text need not be valid UTF-8. After Close the text is empty, unless somebody holds the
// vocabulary.
//
// A space that Encode puts in front of every text, as SentencePiece does, is removed again; for
// tokens that continue a text use a [Decoder]. Nothing else is cleaned up: "a , b" stays as it is.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	var text []byte
	first := true
	for _, id := range ids {
		piece := t.piece(id, skipSpecial)
		if first && len(piece) > 0 {
			first = false
			if t.spaceFirst {
				piece = strings.TrimPrefix(piece, " ")
			}
		}
		text = append(text, piece...)
	}
	return string(text)
}

// Spell returns the bytes of one token that continues a text; a special token is spelt out. An id
// outside the vocabulary gives U+FFFD.
func (t *Tokenizer) Spell(id int32) string { return t.piece(id, false) }

// Control returns the spelling of a control token, such as <|im_end|>, which is no text. It is empty
// if id is another token or none.
func (t *Tokenizer) Control(id int32) string {
	if t.piece(id, true) != "" {
		return ""
	}
	return t.piece(id, false)
}

// Piece returns the bytes of one token as they stand inside a text: a leading space is kept. A
// control token is spelt out if special is set, and is empty otherwise.
func (t *Tokenizer) Piece(id int32, special bool) ([]byte, error) {
	piece, err := t.vocab.Piece(id, special)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return piece, nil
}

// Size is the number of tokens; ids are 0 to Size-1.
func (t *Tokenizer) Size() int { return t.vocab.Size() }

// BOS returns the token that begins a text, or false if there is none.
func (t *Tokenizer) BOS() (int32, bool) { return t.vocab.BOS() }

// EOS returns the token that ends a text, or false if there is none.
func (t *Tokenizer) EOS() (int32, bool) { return t.vocab.EOS() }

// EOG returns the tokens after which nothing follows, EOS among them, ascending. The caller may
// change the slice.
func (t *Tokenizer) EOG() []int32 { return t.vocab.EOG() }

// IsEOG reports whether id is one of EOG.
func (t *Tokenizer) IsEOG(id int32) bool { return t.vocab.IsEOG(id) }

// Hold keeps the vocabulary, also after Close, until release is called: tokens that were generated can be
// read when the model that has generated them is closed. A second call of release does nothing.
func (t *Tokenizer) Hold() (release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.holds++
	return sync.OnceFunc(func() {
		t.mu.Lock()
		t.holds--
		last := t.closed && t.holds == 0
		t.mu.Unlock()
		if last {
			_ = t.free() // freeing memory does not fail
		}
	})
}

// Close frees the vocabulary, as soon as nobody holds it. It does nothing the second time.
func (t *Tokenizer) Close() error {
	t.mu.Lock()
	t.closed = true
	held := t.holds > 0
	t.mu.Unlock()
	if held {
		return nil
	}
	return t.free()
}

func (t *Tokenizer) free() error {
	t.pieces.close()
	return t.vocab.Close()
}
