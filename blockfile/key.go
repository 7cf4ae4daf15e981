package blockfile

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/seed4d217819/ebb/session"
	"github.com/seed4d217819/ebb/tier"
)

// BlockTokens is how many tokens a whole block has.
const BlockTokens = tier.BlockCells

// Key names the tokens of a conversation up to some block: it is the SHA-256 of the key before that block
// and of the block's tokens, as little-endian int32.
type Key [sha256.Size]byte

// String returns the key in hexadecimal.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// next returns the key of the tokens before and of up to 256 more.
func (k Key) next(tokens []int32) Key {
	b := make([]byte, 0, len(k)+4*BlockTokens)
	b = append(b, k[:]...)
	for _, id := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return sha256.Sum256(b)
}

// Root says what rows and states belong to. Conversations with different roots share nothing.
type Root struct {
	key    Key
	rows   []tier.Layout // by layer
	states []int64       // bytes of a state, by recurrent layer
	window int
}

// NewRoot returns the root of a model's conversations. Of the header those fields count by which sessions
// fit a model: architecture, digest of the weights, RoPE, types, layers and states. window is how many
// tokens before the next one the layers with windows see, at most; 0 without such layers. The salt keeps
// conversations apart, such as those of different API keys: it cannot be read from the files, but somebody
// who can guess it can tell that a guess is right.
func NewRoot(h session.Header, window int, salt []byte) Root {
	b := appendText(nil, "ebb blocks")
	b = binary.LittleEndian.AppendUint32(b, version)
	for _, text := range []string{h.Architecture, h.Weights, h.RoPE, h.TypeK, h.TypeV, string(salt)} {
		b = appendText(b, text)
	}
	r := Root{rows: slices.Clone(h.Layers), states: slices.Clone(h.States), window: window}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(h.Layers)))
	for _, l := range h.Layers {
		for _, n := range []int64{int64(l.Heads), l.KeyBytes, l.ValueBytes} {
			b = binary.LittleEndian.AppendUint64(b, uint64(n))
		}
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(h.States)))
	for _, n := range h.States {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	r.key = sha256.Sum256(b)
	return r
}

// appendText appends a text behind its length, so that no two lists of texts are the same bytes.
func appendText(b []byte, text string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(text))), text...)
}

// Key returns the key from which those of the first blocks are made.
func (r Root) Key() Key { return r.key }

// has reports whether a file may be one of the root's with some block, or with states after tokens of it:
// its digest says which tokens it has, and not where they are, nor how large its sections are.
func (r Root) has(e *entry, block int) bool {
	if e.start != block*BlockTokens {
		return false
	}
	if e.kind == statesKind {
		return slices.EqualFunc(e.sections, r.states, func(s section, size int64) bool { return s.size == size })
	}
	return slices.EqualFunc(e.sections, r.rows, func(s section, l tier.Layout) bool { return s.size == rowsBytes(l, len(e.tokens)) })
}

// chain returns the root's key, and behind it the keys of the tokens up to the end of each whole block.
func (r Root) chain(tokens []int32) []Key {
	keys := []Key{r.key}
	for ; len(tokens) >= BlockTokens; tokens = tokens[BlockTokens:] {
		keys = append(keys, keys[len(keys)-1].next(tokens[:BlockTokens]))
	}
	return keys
}

// blockOf returns the tokens of a block: fewer than 256 in the last one.
func blockOf(tokens []int32, block int) []int32 {
	return tokens[block*BlockTokens : min((block+1)*BlockTokens, len(tokens))]
}

// blocks returns how many blocks some tokens have.
func blocks(tokens int) int { return (tokens + BlockTokens - 1) / BlockTokens }

// prefix reports whether tokens begin with others.
func prefix(tokens, with []int32) bool { return agreement(tokens, with) == len(with) }

// agreement returns how many tokens two lists have in common at their beginning.
func agreement(a, b []int32) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
