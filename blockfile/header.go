package blockfile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
)

const (
	magic   = "\x89EBBBF\r\n" // like PNG's: a transfer as text damages it
	version = 2

	page        = 4096    // sections begin at multiples of this, and files end there
	fixedBytes  = 68      // of a header, before the tokens
	maxSections = 1 << 16 // layers: far above what models have
	maxSection  = 1 << 40 // bytes
)

// castagnoli is the table of the polynomial that processors compute CRC-32C with.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kind is what a file has.
type kind uint32

const (
	rowsKind   kind = iota // the rows of a block's tokens, a section for each layer
	statesKind             // the states after a number of tokens, a section for each recurrent layer
)

// suffix ends the name of a file.
func (k kind) suffix() string { return [...]string{".rows", ".states"}[k] }

// header says what a file has. It is written before the sections.
type header struct {
	kind       kind
	parent     Key     // of the tokens before the block
	start      int     // how many these are: a multiple of 256
	tokens     []int32 // of the block: 1 to 256. States are those after the last one
	windowFrom int     // from which of the block's tokens on layers with windows have rows; those before are zeros
	sections   []section
}

// section is the rows or the state of one layer.
type section struct {
	size int64
	sum  uint32 // CRC-32C
}

// end returns how many tokens there are up to the block's last one.
func (h *header) end() int { return h.start + len(h.tokens) }

// name returns the name of the file whose key is given.
func (h *header) name(key Key) string {
	if h.windowFrom == 0 {
		return key.String() + h.kind.suffix()
	}
	return key.String() + "-" + strconv.Itoa(h.windowFrom) + h.kind.suffix()
}

// ours reports whether a file has a name as those of this package have.
func ours(name string) bool {
	rest, rows := strings.CutSuffix(name, rowsKind.suffix())
	if !rows {
		var states bool
		if rest, states = strings.CutSuffix(name, statesKind.suffix()); !states {
			return false
		}
	}
	digits, from, windowed := strings.Cut(rest, "-")
	if b, err := hex.DecodeString(digits); err != nil || len(b) != len(Key{}) || digits != strings.ToLower(digits) {
		return false
	}
	n, err := strconv.Atoi(from)
	return !windowed || rows && err == nil && n > 0 && n <= BlockTokens && strconv.Itoa(n) == from
}

// bytes returns how many bytes the header takes before the padding.
func (h *header) bytes() int { return headerBytes(len(h.tokens), len(h.sections)) }

func headerBytes(tokens, sections int) int { return fixedBytes + 4*tokens + 12*sections + 4 }

// offset returns where a section begins; that of one section more is the end of the file.
func (h *header) offset(number int) int64 {
	at := roundUp(int64(h.bytes()))
	for _, s := range h.sections[:number] {
		at += roundUp(s.size)
	}
	return at
}

// size returns the size of the file.
func (h *header) size() int64 { return h.offset(len(h.sections)) }

func roundUp(n int64) int64 { return (n + page - 1) / page * page }

func (h *header) encode() []byte {
	b := []byte(magic)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.kind))
	b = append(b, h.parent[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.start))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(h.tokens)))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.windowFrom))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(h.sections)))
	for _, id := range h.tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	for _, s := range h.sections {
		b = binary.LittleEndian.AppendUint64(b, uint64(s.size))
		b = binary.LittleEndian.AppendUint32(b, s.sum)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// What is found wrong with a file. One that is damaged is removed, one of an earlier version of this program,
// too, and one of a later version stays.
var (
	errDamaged = errors.New("it is damaged")
	errOlder   = errors.New("an older version of ebb has made it")
	errNewer   = errors.New("a newer version of ebb has made it")
)

// decode reads the header of a file of some bytes.
func decode(r io.ReaderAt, size int64) (*header, error) {
	b := make([]byte, min(page, size))
	if _, err := r.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("reading its header: %w", err)
	}
	if len(b) < fixedBytes || !bytes.HasPrefix(b, []byte(magic)) {
		return nil, fmt.Errorf("%w: it does not begin like one", errDamaged)
	}
	made := binary.LittleEndian.Uint32(b[len(magic):])
	binary.LittleEndian.PutUint32(b[len(magic):], version)
	h, err := parse(b, r, size)
	switch {
	case made > version && errors.Is(err, errDamaged):
		return nil, errNewer
	case made > 0 && made < version && errors.Is(err, errDamaged):
		return nil, errOlder
	case made != version && err == nil:
		return nil, fmt.Errorf("%w: the version in its header is not what was written", errDamaged)
	}
	return h, err
}

// parse reads a header of this version, of which b is the first page.
func parse(b []byte, r io.ReaderAt, size int64) (*header, error) {
	h := &header{
		kind:       kind(binary.LittleEndian.Uint32(b[12:])),
		parent:     Key(b[16:48]),
		windowFrom: int(binary.LittleEndian.Uint32(b[60:])),
	}
	start, tokens, sections := binary.LittleEndian.Uint64(b[48:]), binary.LittleEndian.Uint32(b[56:]), binary.LittleEndian.Uint32(b[64:])
	if tokens < 1 || tokens > BlockTokens || sections > maxSections || start > 1<<40 {
		return nil, fmt.Errorf("%w: its header has sizes that no file has", errDamaged)
	}
	h.start = int(start)
	if n := headerBytes(int(tokens), int(sections)); int64(n) > size {
		return nil, fmt.Errorf("%w: it ends within its header", errDamaged)
	} else if n > len(b) {
		first := len(b)
		b = append(b, make([]byte, n-first)...)
		if _, err := r.ReadAt(b[first:], int64(first)); err != nil {
			return nil, fmt.Errorf("reading its header: %w", err)
		}
	} else {
		b = b[:n]
	}
	if end := len(b) - 4; binary.LittleEndian.Uint32(b[end:]) != crc32.Checksum(b[:end], castagnoli) {
		return nil, fmt.Errorf("%w: its header is not what was written", errDamaged)
	}
	at := b[fixedBytes:]
	for range tokens {
		h.tokens = append(h.tokens, int32(binary.LittleEndian.Uint32(at)))
		at = at[4:]
	}
	for range sections {
		h.sections = append(h.sections, section{int64(binary.LittleEndian.Uint64(at)), binary.LittleEndian.Uint32(at[8:])})
		at = at[12:]
	}
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if want := h.size(); want != size {
		return nil, fmt.Errorf("%w: it has %d bytes and should have %d", errDamaged, size, want)
	}
	return h, nil
}

// check reports what no file has: the checksum does not tell who wrote it.
func (h *header) check() error {
	if h.kind > statesKind {
		return fmt.Errorf("it is of kind %d", h.kind)
	}
	if h.start%BlockTokens != 0 {
		return fmt.Errorf("its first token is number %d, which is no multiple of %d", h.start, BlockTokens)
	}
	if h.windowFrom > len(h.tokens) || h.kind == statesKind && h.windowFrom > 0 {
		return fmt.Errorf("layers with windows have rows from token %d of %d on", h.windowFrom, len(h.tokens))
	}
	if len(h.sections) == 0 {
		return errors.New("it has no layers")
	}
	for i, s := range h.sections {
		if s.size < 1 || s.size > maxSection {
			return fmt.Errorf("layer %d has %d bytes", i, s.size)
		}
	}
	return nil
}
