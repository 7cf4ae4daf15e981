package session

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
)

// ErrTensors says that a file is not in the safetensors format, or that it has no K/V in the layout
// that [Import] reads.
var ErrTensors = errors.New("not K/V in safetensors")

// tensor is one tensor of a safetensors file. Its values lie in row-major order, the last dimension
// innermost, in little-endian.
//
// The file is the length of its header in 8 bytes, the header in JSON, and the bytes of the tensors
// without gaps: https://github.com/huggingface/safetensors#format.
type tensor struct {
	name  string
	dtype string
	shape []int64
	at    int64 // where its bytes begin in the file
}

// dtypeBytes are the sizes of the types that the format knows and a value of which is whole bytes.
var dtypeBytes = map[string]int64{
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1,
	"I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}

// bytes returns the size of the tensor, and whether it can be: the type is known and the product of
// the dimensions is no larger than any file.
func (t tensor) bytes() (n int64, ok bool) {
	size, ok := dtypeBytes[t.dtype]
	product := uint64(size)
	for _, d := range t.shape {
		high, low := bits.Mul64(product, uint64(d))
		if d < 0 || high != 0 || low > math.MaxInt64 {
			return 0, false
		}
		product = low
	}
	return int64(product), ok
}

// metadataName is the member of the header that is no tensor: an object of strings.
const metadataName = "__metadata__"

// described is a tensor in the header.
type described struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"` // behind the header
}

// tensorsHeader returns the bytes of a file before its first tensor, and sets where the tensors begin.
func tensorsHeader(metadata map[string]string, tensors []tensor) ([]byte, error) {
	var text bytes.Buffer
	member := func(name string, value any) error {
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		object, err := json.Marshal(value)
		if err != nil {
			return err
		}
		text.WriteByte(",{"[b2i(text.Len() == 0)])
		text.Write(key)
		text.WriteByte(':')
		text.Write(object)
		return nil
	}
	err := member(metadataName, metadata)
	at := int64(0)
	for i, t := range tensors {
		size, ok := t.bytes()
		if !ok {
			return nil, fmt.Errorf("session: a tensor of the shape %v is too large", t.shape)
		}
		tensors[i].at = at
		err = errors.Join(err, member(t.name, described{t.dtype, t.shape, [2]int64{at, at + size}}))
		at += size
	}
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	text.WriteByte('}')
	for text.Len()%8 != 0 { // the values are aligned
		text.WriteByte(' ')
	}
	if text.Len() > maxHeader {
		return nil, fmt.Errorf("session: a header of %d bytes with what is attached: at most %d", text.Len(), maxHeader)
	}
	for i := range tensors {
		tensors[i].at += 8 + int64(text.Len())
	}
	return append(binary.LittleEndian.AppendUint64(nil, uint64(text.Len())), text.Bytes()...), nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// readTensors reads the header of a file of some bytes. Every tensor lies within the file, as the
// header says, and no byte belongs to none or to two.
func readTensors(r io.ReaderAt, size int64) (metadata map[string]string, tensors map[string]tensor, err error) {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("session: %w: %s", ErrTensors, fmt.Sprintf(format, args...))
	}
	var start [8]byte
	if _, err := r.ReadAt(start[:], 0); err != nil {
		return nil, nil, readFailed(err, wrong("the file has %d bytes", size))
	}
	length := binary.LittleEndian.Uint64(start[:])
	switch {
	case length > maxHeader:
		return nil, nil, wrong("its header would have %d bytes, and %d are the most", length, maxHeader)
	case int64(length) > size-8:
		return nil, nil, wrong("its header would have %d bytes in a file of %d", length, size)
	}
	text := make([]byte, length)
	if _, err := r.ReadAt(text, 8); err != nil {
		return nil, nil, readFailed(err, wrong("it ends within its header"))
	}
	metadata, list, err := parseTensors(text)
	if err != nil {
		return nil, nil, wrong("its header: %v", err)
	}
	data := 8 + int64(length)
	slices.SortFunc(list, func(a, b placed) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	end := int64(0)
	tensors = make(map[string]tensor, len(list))
	for _, t := range list {
		bytes, ok := t.bytes()
		switch {
		case !ok:
			return nil, nil, wrong("tensor %q is of type %q and shape %v", t.name, t.dtype, t.shape)
		case t.to-t.from != bytes:
			return nil, nil, wrong("tensor %q has %d bytes: want %d for %s and the shape %v", t.name, t.to-t.from, bytes, t.dtype, t.shape)
		case t.from != end:
			return nil, nil, wrong("tensor %q begins at byte %d: want %d, where the one before ends", t.name, t.from, end)
		}
		end, t.at = t.to, data+t.from
		tensors[t.name] = t.tensor
	}
	if end != size-data {
		return nil, nil, wrong("its tensors have %d bytes, and %d follow the header", end, size-data)
	}
	return metadata, tensors, nil
}

// readFailed returns what is wrong with a file that ends early, or the error of the system.
func readFailed(err, short error) error {
	if errors.Is(err, io.EOF) {
		return short
	}
	return fmt.Errorf("session: reading it: %w", err)
}

// placed is a tensor with the bytes that the header gives it, behind the header.
type placed struct {
	tensor
	from, to int64
}

// parseTensors reads the JSON of a header member by member, as a name may be there once only.
func parseTensors(text []byte) (metadata map[string]string, tensors []placed, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, nil, errors.New("it is not a JSON object")
	}
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, nil, err
		}
		name := token.(string) // a key
		if seen[name] {
			return nil, nil, fmt.Errorf("%q is there twice", name)
		}
		seen[name] = true
		if name == metadataName {
			if err := d.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", metadataName, err)
			}
			continue
		}
		var t described
		if err := d.Decode(&t); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		tensors = append(tensors, placed{tensor{name: name, dtype: t.DType, shape: t.Shape}, t.Offsets[0], t.Offsets[1]})
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("something follows the JSON object")
	}
	return metadata, tensors, nil
}
