package session

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/seed4d217819/ebb/tier"
)

// Errors of files that cannot be used. Whoever gets one computes the tokens anew.
var (
	ErrFormat  = errors.New("not a session of this program")                    // another kind of file, or another version
	ErrDamaged = errors.New("the session is damaged")                           // bytes are missing, or not those that were written
	ErrModel   = errors.New("the session belongs to another model or K/V type") // or its rows have other shapes
)

const (
	magic   = "\x89EBBKV\r\n" // like PNG's: a transfer as text damages it
	version = 2               // the newest one, which has states; without them version 1 is written

	// BlockCells is how many cells a block has, with a checksum of its own.
	BlockCells = tier.BlockCells

	page      = 4096    // rows begin at a multiple of this
	maxHeader = 1 << 26 // bytes of JSON: a few hundred, some for each layer, and what a program attaches
	maxTokens = 1 << 30
)

// castagnoli is the table of the polynomial that processors compute CRC-32C with.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header says what the rows and states of a session belong to. They fit a model if all fields but
// Tokens, WindowFrom, Computed, Snapshots and Attached are equal.
type Header struct {
	Architecture string        `json:"architecture"`   // general.architecture of the model
	Weights      string        `json:"weights"`        // SHA-256 of the model's files, in hexadecimal
	RoPE         string        `json:"rope,omitempty"` // what positions are encoded with, where that is not in the model's file
	TypeK        string        `json:"type_k"`
	TypeV        string        `json:"type_v"`
	Layers       []tier.Layout `json:"layers"`
	Tokens       []int32       `json:"-"`
	WindowFrom   int           `json:"window_from,omitempty"` // the first token whose rows layers with windows have; those before are zeros

	// States are how many bytes a state has in each recurrent layer. A session that has them has rows of
	// the first tokens only, as many as Computed says, and the states after these and after each of the
	// ascending numbers of tokens in Snapshots.
	States    []int64 `json:"states,omitempty"`
	Computed  int     `json:"computed,omitempty"`
	Snapshots []int   `json:"snapshots,omitempty"`

	// Attached is what the program that saves a session wants back with it, as JSON: ebb chat its
	// messages. nil: nothing.
	Attached json.RawMessage `json:"attached,omitempty"`
}

// Fits reports why rows of h cannot be used where others are wanted, or nil.
func (h Header) Fits(want Header) error {
	for _, f := range []struct{ what, got, want string }{
		{"architecture", h.Architecture, want.Architecture},
		{"weights' digest", h.Weights, want.Weights},
		{"position encoding", h.RoPE, want.RoPE},
		{"type of keys", h.TypeK, want.TypeK},
		{"type of values", h.TypeV, want.TypeV},
	} {
		if f.got != f.want {
			return fmt.Errorf("session: %w: its %s is %s, where %s is wanted", ErrModel, f.what, f.got, f.want)
		}
	}
	if !slices.Equal(h.Layers, want.Layers) {
		return fmt.Errorf("session: %w: its layers have other shapes", ErrModel)
	}
	if !slices.Equal(h.States, want.States) {
		return fmt.Errorf("session: %w: its recurrent layers have other states", ErrModel)
	}
	return nil
}

// rows returns how many tokens have rows. The others are to be computed again.
func (h Header) rows() int {
	if len(h.States) == 0 {
		return len(h.Tokens)
	}
	return h.Computed
}

// statesAt returns after how many tokens there are states, ascending.
func (h Header) statesAt() []int {
	if n := len(h.Snapshots); h.Computed == 0 || n > 0 && h.Snapshots[n-1] == h.Computed {
		return h.Snapshots
	}
	return append(slices.Clone(h.Snapshots), h.Computed)
}

// exportable reports why rows cannot be exported.
func (h Header) exportable() error {
	if len(h.States) > 0 {
		return errors.New("session: the model has recurrent layers, whose states have no place in the layout of safetensors, and without them no text can go on: keep the session itself, and go on with --session")
	}
	if h.WindowFrom > 0 {
		return fmt.Errorf("session: layers with windows have no rows of the first %d tokens, which were not kept: export what was computed with all of them (--window-rows all)", h.WindowFrom)
	}
	return nil
}

// layout is where the parts of a file lie.
type layout struct {
	blocks int     // of each layer
	table  int64   // where the checksums of blocks and states begin
	rows   []int64 // where each layer's blocks begin
	states []int64 // where each state begins: those of the first snapshot, layer by layer, then of the next
	end    int64
}

func (h Header) layout(head int64) layout {
	l := layout{blocks: (h.rows() + BlockCells - 1) / BlockCells, table: head}
	at := l.table + 4*int64(len(h.Layers)*l.blocks+len(h.statesAt())*len(h.States)) + 4
	if l.blocks == 0 {
		l.rows, l.end = make([]int64, len(h.Layers)), at
		return l
	}
	at = (at + page - 1) / page * page
	for _, layer := range h.Layers {
		l.rows = append(l.rows, at)
		at += int64(l.blocks) * layer.RowBytes() * BlockCells
	}
	for range h.statesAt() {
		for _, size := range h.States {
			l.states = append(l.states, at)
			at += size
		}
	}
	l.end = at
	return l
}

// encode returns the bytes before the table: magic, version, the header as JSON, the tokens, and the
// checksum of all that.
func (h Header) encode() ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	if len(text) > maxHeader {
		return nil, fmt.Errorf("session: a header of %d bytes with what is attached: at most %d", len(text), maxHeader)
	}
	b := []byte(magic)
	b = binary.LittleEndian.AppendUint32(b, h.version())
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(h.Tokens)))
	for _, id := range h.Tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

// version returns the oldest version of the format that has all of the header.
func (h Header) version() uint32 {
	if len(h.States) > 0 {
		return 2
	}
	return 1
}

// decode reads the bytes before the table, of a file of some bytes, and returns how many they are.
func decode(r io.ReaderAt, size int64) (Header, int64, error) {
	in := &reader{from: io.NewSectionReader(r, 0, size)}
	start := in.bytes(int64(len(magic)))
	if err := in.failure(); err != nil {
		return Header{}, 0, err
	}
	if in.err != nil || string(start) != magic {
		return Header{}, 0, fmt.Errorf("session: %w: it does not begin like one", ErrFormat)
	}
	if v := in.uint32(); in.err == nil && v > version {
		return Header{}, 0, fmt.Errorf("session: %w: a newer version has made it: its format has version %d, and this program reads versions up to %d", ErrFormat, v, version)
	} else if in.err == nil && v < 1 {
		return Header{}, 0, fmt.Errorf("session: %w: its format has version %d", ErrFormat, v)
	}
	n := in.uint32()
	if n > maxHeader {
		return Header{}, 0, fmt.Errorf("session: %w: a header of %d bytes", ErrDamaged, n)
	}
	text := in.bytes(int64(n))
	tokens := in.uint32()
	if int64(tokens) > min(maxTokens, size/4) {
		return Header{}, 0, fmt.Errorf("session: %w: %d tokens in a file of %d bytes", ErrDamaged, tokens, size)
	}
	ids := in.bytes(4 * int64(tokens))
	sum := in.sum
	want := in.uint32()
	if err := in.failure(); err != nil {
		return Header{}, 0, err
	}
	if in.err != nil {
		return Header{}, 0, fmt.Errorf("session: %w: it ends within its header", ErrDamaged)
	} else if sum != want {
		return Header{}, 0, fmt.Errorf("session: %w: its header has the checksum %08x and should have %08x", ErrDamaged, sum, want)
	}
	var h Header
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return Header{}, 0, fmt.Errorf("session: %w: its header: %w", ErrDamaged, err)
	}
	for ; len(ids) > 0; ids = ids[4:] {
		h.Tokens = append(h.Tokens, int32(binary.LittleEndian.Uint32(ids)))
	}
	return h, in.read, h.check()
}

// hold reports layers whose rows cannot be in a file of some bytes.
func (h Header) hold(size int64) error {
	for i, l := range h.Layers {
		if len(h.Tokens) > 0 && l.RowBytes() > size {
			return fmt.Errorf("session: %w: it has %d bytes, and a token takes %d in layer %d alone", ErrDamaged, size, l.RowBytes(), i)
		}
	}
	left := size
	for at := range h.statesAt() {
		for i, n := range h.States {
			if left -= n; left < 0 {
				return fmt.Errorf("session: %w: it has %d bytes, and state %d of recurrent layer %d takes %d", ErrDamaged, size, at, i, n)
			}
		}
	}
	return nil
}

// check reports sizes that no session has: the checksum does not tell who wrote the file.
func (h Header) check() error {
	for i, l := range h.Layers {
		const most = 1 << 24 // bytes and heads: far above what models have, and no product overflows
		if l.Heads < 1 || l.Heads > most || l.KeyBytes < 0 || l.KeyBytes > most || l.ValueBytes < 0 || l.ValueBytes > most ||
			l.RowBytes() < 1 {
			return fmt.Errorf("session: %w: layer %d has %d heads with keys of %d and values of %d bytes", ErrDamaged, i, l.Heads, l.KeyBytes, l.ValueBytes)
		}
	}
	if h.WindowFrom < 0 || h.WindowFrom > len(h.Tokens) {
		return fmt.Errorf("session: %w: layers with windows have rows from token %d of %d on", ErrDamaged, h.WindowFrom, len(h.Tokens))
	}
	if len(h.Layers)+len(h.States) == 0 {
		return fmt.Errorf("session: %w: it has no layers", ErrDamaged)
	}
	for i, n := range h.States {
		const most = 1 << 40
		if n < 1 || n > most {
			return fmt.Errorf("session: %w: the state of recurrent layer %d has %d bytes", ErrDamaged, i, n)
		}
	}
	if h.Computed < 0 || h.Computed > len(h.Tokens) || h.Computed > 0 && len(h.States) == 0 {
		return fmt.Errorf("session: %w: states after %d of %d tokens, in %d recurrent layers", ErrDamaged, h.Computed, len(h.Tokens), len(h.States))
	}
	before := 0
	for _, n := range h.Snapshots {
		if n <= before || n > h.Computed {
			return fmt.Errorf("session: %w: a snapshot after %d of %d tokens, behind one after %d", ErrDamaged, n, h.Computed, before)
		}
		before = n
	}
	return nil
}

// reader reads the parts of a header and sums them up. After an error everything it returns is zero.
type reader struct {
	from io.Reader
	read int64
	sum  uint32
	err  error
}

// failure returns why the file could not be read, unless it is because it has ended.
func (r *reader) failure() error {
	if r.err == nil || errors.Is(r.err, io.ErrUnexpectedEOF) {
		return nil
	}
	return fmt.Errorf("session: %w: reading it: %w", ErrDamaged, r.err)
}

func (r *reader) bytes(n int64) []byte {
	if r.err != nil {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(r.from, n))
	if err == nil && int64(len(b)) != n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		r.err = err
		return nil
	}
	r.read += n
	r.sum = crc32.Update(r.sum, castagnoli, b)
	return b
}

func (r *reader) uint32() uint32 {
	b := r.bytes(4)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint32(b)
}
