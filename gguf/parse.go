package gguf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	magic            = "GGUF"
	defaultAlignment = 32
	alignmentKey     = "general.alignment"

	minVersion, maxVersion = 2, 3

	// maxHeader bounds the memory that a header can ask for, however large the file: metadata and
	// tensor entries together. The largest vocabularies in use take about 20 MB.
	maxHeader = 1 << 30

	minEntry  = 8 + 1 + 4 + 1         // bytes of the shortest metadata pair: length, key, kind, value
	minTensor = 8 + 1 + 4 + 8 + 4 + 8 // bytes of the shortest tensor entry: length, name, dims, one dim, type, offset
)

// Parse reads a GGUF file from memory, one part if the model is split. The File keeps data, which
// must not change as long as it is used; it needs no Close.
func Parse(data []byte) (*File, error) {
	return parse(data, int64(len(data)))
}

// ParseHeader reads the header of a file of size bytes, one part if the model is split, from its
// first bytes. If those end before the header does, the error wraps ErrPartial. The File has no
// bytes of tensors: Data returns nil. It does not keep data, and needs no Close.
func ParseHeader(data []byte, size int64) (*File, error) {
	f, err := parse(data, max(size, int64(len(data))))
	if err != nil {
		return nil, err
	}
	f.parts[0].data = nil
	return f, nil
}

// parse reads a file of size bytes whose first bytes are data.
func parse(data []byte, size int64) (*File, error) {
	p := parser{data: data, size: size}
	f := &File{alignment: defaultAlignment, metaIndex: map[string]int{}, tensorIndex: map[string]int{}}
	f.parts = []part{{Part: Part{Size: size}, data: data}}
	if err := p.file(f); err != nil {
		return nil, &FormatError{Field: p.at.String(), Offset: p.start, Err: err}
	}
	return f, nil
}

// parser walks over a header.
type parser struct {
	data  []byte // all of the file, or its beginning
	size  int64  // bytes of the file
	pos   int64
	at    where // where it is, for errors
	start int64 // of that part
}

// where names a part of a header. It becomes text only when there is an error to report.
type where struct {
	noun  string
	index int    // of a part that is one of many and whose name is not read yet
	name  string // of a part that has one
}

// single is the index of a part of which there is one.
const single = -1

func (p where) String() string {
	switch {
	case p.name != "":
		return p.noun + " " + quote(p.name)
	case p.index != single:
		return fmt.Sprintf("%s %d", p.noun, p.index)
	default:
		return p.noun
	}
}

func (p *parser) enter(noun string, index int) {
	p.at, p.start = where{noun: noun, index: index}, p.pos
}

func (p *parser) remaining() int64 { return p.size - p.pos }

// take returns the next n bytes.
func (p *parser) take(n uint64, what string) ([]byte, error) {
	if n > uint64(p.remaining()) {
		return nil, fmt.Errorf("%s needs %d bytes, %d are left: %w", what, n, p.remaining(), ErrTruncated)
	}
	if p.pos+int64(n) > maxHeader {
		return nil, fmt.Errorf("%s ends past %d bytes of header, more than any model needs", what, maxHeader)
	}
	if end := p.pos + int64(n); end > int64(len(p.data)) {
		return nil, fmt.Errorf("%s ends at byte %d: %w", what, end, ErrPartial)
	}
	b := p.data[p.pos : p.pos+int64(n)]
	p.pos += int64(n)
	return b, nil
}

func (p *parser) uint32(what string) (uint32, error) {
	b, err := p.take(4, what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (p *parser) uint64(what string) (uint64, error) {
	b, err := p.take(8, what)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// string returns the bytes of a string that follows its length.
func (p *parser) string(what string) ([]byte, error) {
	n, err := p.uint64("length")
	if err != nil {
		return nil, err
	}
	return p.take(n, what)
}

// count reads a number of things that take at least size bytes each, and refuses one that the file
// has no room for.
func (p *parser) count(noun string, size int64) (uint64, error) {
	p.enter(noun, single)
	n, err := p.uint64("count")
	if err != nil {
		return 0, err
	}
	if n > uint64(p.remaining()/size) {
		return 0, fmt.Errorf("%d of at least %d bytes each, %d bytes are left: %w", n, size, p.remaining(), ErrTruncated)
	}
	return n, nil
}

func (p *parser) file(f *File) error {
	p.enter("magic", single)
	if head := p.data[:min(len(p.data), 64)]; len(head) < len(magic) || string(head[:len(magic)]) != magic {
		if len(head) < len(magic) && p.size > int64(len(head)) {
			return ErrPartial
		}
		return notGGUF(head)
	}
	p.pos = int64(len(magic))

	p.enter("version", single)
	var err error
	if f.version, err = p.uint32("version"); err != nil {
		return err
	}
	if err := checkVersion(f.version); err != nil {
		return err
	}

	tensors, err := p.count("tensor count", minTensor)
	if err != nil {
		return err
	}
	pairs, err := p.count("metadata count", minEntry)
	if err != nil {
		return err
	}
	if err := p.metadata(f, pairs); err != nil {
		return err
	}
	return p.tensors(f, tensors)
}

func checkVersion(v uint32) error {
	if v >= minVersion && v <= maxVersion {
		return nil
	}
	if be := v>>24 | v>>8&0xff00 | v<<8&0xff0000 | v<<24; be >= 1 && be <= maxVersion {
		return fmt.Errorf("big-endian file (version %d), want little-endian; get the little-endian file of this model", be)
	}
	if v == 1 {
		return fmt.Errorf("version 1, want %d or %d; convert the model again with a current llama.cpp", minVersion, maxVersion)
	}
	return fmt.Errorf("version %d, want %d or %d", v, minVersion, maxVersion)
}

// metadata reads n pairs. Arrays and strings are only walked over here: their bytes are copied
// once, together, and decoded when they are asked for. They do not share the mapping's memory, as
// strings outlive Close.
func (p *parser) metadata(f *File, n uint64) error {
	first := p.pos
	var places [][2]int64 // of each value, in the file
	for i := range int(n) {
		p.enter("metadata pair", i)
		b, err := p.string("key")
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return errors.New("empty key")
		}
		key := string(b)
		p.at = where{noun: "key", name: key}
		if j, ok := f.metaIndex[key]; ok {
			return fmt.Errorf("duplicate: pairs %d and %d have the same key", j, i)
		}
		v, place, err := p.value()
		if err != nil {
			return err
		}
		if key == alignmentKey {
			if f.alignment, err = alignment(v.kind, p.data[place[0]:place[1]]); err != nil {
				return err
			}
		}
		f.metaIndex[key] = len(f.meta)
		f.meta = append(f.meta, entry{key, v})
		places = append(places, place)
	}
	all := string(p.data[first:p.pos])
	for i, place := range places {
		f.meta[i].value.raw = all[place[0]-first : place[1]-first]
	}
	return nil
}

// alignment checks the value of general.alignment, whose bytes are raw.
func alignment(k Kind, raw []byte) (int64, error) {
	if k != KindUint32 {
		return 0, fmt.Errorf("is %s, want uint32", k)
	}
	a := binary.LittleEndian.Uint32(raw)
	if a == 0 || a&(a-1) != 0 {
		return 0, fmt.Errorf("alignment %d, want a power of two", a)
	}
	return int64(a), nil
}

// value reads a value's kind and checks its bytes, but leaves them where they are: between place[0]
// and place[1].
func (p *parser) value() (v Value, place [2]int64, err error) {
	k, err := p.uint32("kind")
	if err != nil {
		return v, place, err
	}
	v.kind = Kind(k)
	n := uint64(1)
	elem := v.kind
	switch {
	case !v.kind.known():
		return v, place, fmt.Errorf("unknown kind %d, want 0 to %d", k, len(kinds)-1)
	case v.kind == KindArray:
		e, err := p.uint32("kind of the elements")
		if err != nil {
			return v, place, err
		}
		elem = Kind(e)
		if elem == KindArray {
			return v, place, errors.New("array of arrays, want an array of numbers, bools or strings")
		}
		if !elem.known() {
			return v, place, fmt.Errorf("array of unknown kind %d, want 0 to %d", e, len(kinds)-1)
		}
		if n, err = p.uint64("length of the array"); err != nil {
			return v, place, err
		}
		size := cmp.Or(elem.size(), 8) // a string takes 8 bytes at least: its length
		if n > uint64(p.remaining()/size) {
			return v, place, fmt.Errorf("array of %d %s, %d bytes are left: %w", n, elem, p.remaining(), ErrTruncated)
		}
		v.elem, v.n = elem, int(n)
	}
	place[0] = p.pos
	if elem == KindString {
		for i := range n {
			b, err := p.string("string")
			if err != nil {
				if v.kind == KindArray {
					err = fmt.Errorf("element %d: %w", i, err)
				}
				return v, place, err
			}
			if v.kind == KindString {
				place[0] = p.pos - int64(len(b))
			}
		}
	} else {
		b, err := p.take(n*uint64(elem.size()), "value")
		if err != nil {
			return v, place, err
		}
		if elem == KindBool {
			if i := slices.IndexFunc(b, func(c byte) bool { return c > 1 }); i >= 0 {
				return v, place, fmt.Errorf("bool %d is %d, want 0 or 1", i, b[i])
			}
		}
	}
	place[1] = p.pos
	return v, place, nil
}

// tensors reads n tensor entries and checks that each lies in the file, by itself.
func (p *parser) tensors(f *File, n uint64) error {
	var starts []int64 // of each entry, for errors
	for i := range int(n) {
		p.enter("tensor", i)
		t, err := p.tensor()
		if err != nil {
			return err
		}
		if j, ok := f.tensorIndex[t.Name]; ok {
			return fmt.Errorf("duplicate: tensors %d and %d have the same name", j, i)
		}
		f.tensorIndex[t.Name] = len(f.tensors)
		f.tensors = append(f.tensors, t)
		starts = append(starts, p.start)
	}

	base := (p.pos + f.alignment - 1) &^ (f.alignment - 1)
	size := p.size
	order := make([]int, len(f.tensors))
	for i := range f.tensors {
		t := &f.tensors[i]
		order[i] = i
		p.at, p.start = where{noun: "tensor", name: t.Name}, starts[i]
		if t.Offset%f.alignment != 0 {
			return fmt.Errorf("offset %d, want a multiple of the alignment, %d", t.Offset, f.alignment)
		}
		if t.Offset > size-base { // before the sum, which could overflow
			return fmt.Errorf("offset %d past end of file (size %d): %w", t.Offset, size, ErrTruncated)
		}
		t.Offset += base
		if t.Size > size-t.Offset {
			return fmt.Errorf("bytes %d to %d past end of file (size %d): %w", t.Offset, t.Offset+t.Size, size, ErrTruncated)
		}
	}

	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(f.tensors[a].Offset, f.tensors[b].Offset) })
	for i := 1; i < len(order); i++ {
		a, b := f.tensors[order[i-1]], f.tensors[order[i]]
		if a.Offset+a.Size > b.Offset {
			p.at, p.start = where{noun: "tensor", name: b.Name}, starts[order[i]]
			return fmt.Errorf("starts at byte %d, inside tensor %s, which ends at byte %d", b.Offset, quote(a.Name), a.Offset+a.Size)
		}
	}
	return nil
}

// tensor reads one entry. Its Offset is still that in the file's data section.
func (p *parser) tensor() (t Tensor, err error) {
	name, err := p.string("name")
	if err != nil {
		return t, err
	}
	if len(name) == 0 {
		return t, errors.New("empty name")
	}
	t.Name = string(name)
	p.at = where{noun: "tensor", name: t.Name}

	dims, err := p.uint32("number of dimensions")
	if err != nil {
		return t, err
	}
	if dims < 1 || dims > maxDims {
		return t, fmt.Errorf("%d dimensions, want 1 to %d", dims, maxDims)
	}
	t.Shape = make([]int64, dims)
	for i := range t.Shape {
		d, err := p.uint64("dimension")
		if err != nil {
			return t, err
		}
		t.Shape[i] = int64(min(d, math.MaxInt64)) // as bad as any larger one
	}
	k, err := p.uint32("type")
	if err != nil {
		return t, err
	}
	t.Type = Type(k)
	if t.Size, err = sizeOf(t.Type, t.Shape); err != nil {
		return t, err
	}
	offset, err := p.uint64("offset")
	if err != nil {
		return t, err
	}
	t.Offset = int64(min(offset, math.MaxInt64))
	return t, nil
}
