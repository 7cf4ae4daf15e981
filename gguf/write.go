package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// KV is a metadata pair to be written. Value is a uint8, int8, …, uint64, int64, float32, float64,
// bool, string, or a slice of one of these; the kind in the file is the one of the Go type.
type KV struct {
	Key   string
	Value any
}

// TensorData is a tensor to be written.
type TensorData struct {
	Name  string
	Type  Type
	Shape []int64 // in ggml order: innermost first
	Data  []byte
}

// Write writes a GGUF file, version 3: metadata and tensors in the order given, tensors aligned as
// general.alignment in meta says, or to 32 bytes. It is meant for tests and refuses what Parse
// refuses, except for duplicate names.
func Write(w io.Writer, meta []KV, tensors []TensorData) error {
	align, err := alignmentOf(meta)
	if err != nil {
		return fmt.Errorf("gguf: write: %w", err)
	}

	header := []byte(magic)
	header = binary.LittleEndian.AppendUint32(header, maxVersion)
	header = binary.LittleEndian.AppendUint64(header, uint64(len(tensors)))
	header = binary.LittleEndian.AppendUint64(header, uint64(len(meta)))
	for _, kv := range meta {
		if kv.Key == "" {
			return fmt.Errorf("gguf: write: empty key")
		}
		header = appendString(header, kv.Key)
		if header, err = appendValue(header, kv.Value); err != nil {
			return fmt.Errorf("gguf: write: key %s: %w", quote(kv.Key), err)
		}
	}
	offset := 0
	for _, t := range tensors {
		size, err := sizeOf(t.Type, t.Shape)
		if err != nil {
			return fmt.Errorf("gguf: write: tensor %s: %w", quote(t.Name), err)
		}
		if t.Name == "" || int64(len(t.Data)) != size {
			return fmt.Errorf("gguf: write: tensor %s: %d bytes, want a name and %d bytes for %s %d", quote(t.Name), len(t.Data), size, t.Type, t.Shape)
		}
		header = appendString(header, t.Name)
		header = binary.LittleEndian.AppendUint32(header, uint32(len(t.Shape)))
		for _, d := range t.Shape {
			header = binary.LittleEndian.AppendUint64(header, uint64(d))
		}
		header = binary.LittleEndian.AppendUint32(header, uint32(t.Type))
		header = binary.LittleEndian.AppendUint64(header, uint64(offset))
		offset += len(t.Data) + padding(len(t.Data), align)
	}

	out := bufio.NewWriter(w) // keeps the first error until Flush
	zeros := make([]byte, align)
	put := func(b []byte) {
		_, _ = out.Write(b)
		_, _ = out.Write(zeros[:padding(len(b), align)])
	}
	put(header)
	for _, t := range tensors {
		put(t.Data)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("gguf: write: %w", err)
	}
	return nil
}

// padding returns how many bytes are missing from n to the next multiple of align.
func padding(n, align int) int { return -n & (align - 1) }

// maxWriteAlignment keeps the padding that Write holds in memory small.
const maxWriteAlignment = 1 << 20

func alignmentOf(meta []KV) (int, error) {
	for _, kv := range meta {
		if kv.Key != alignmentKey {
			continue
		}
		a, ok := kv.Value.(uint32)
		if !ok || a == 0 || a&(a-1) != 0 || a > maxWriteAlignment {
			return 0, fmt.Errorf("%s is %T %v, want a uint32 power of two up to %d", alignmentKey, kv.Value, kv.Value, maxWriteAlignment)
		}
		return int(a), nil
	}
	return defaultAlignment, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// appendValue appends a value's kind and bytes.
func appendValue(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case string:
		return appendString(appendKind(b, KindString), v), nil
	case []string:
		b = appendArray(b, KindString, len(v))
		for _, s := range v {
			b = appendString(b, s)
		}
		return b, nil
	}
	// All other kinds have a fixed size, and encoding/binary writes them in the form of the format.
	name, n := fmt.Sprintf("%T", value), binary.Size(value)
	elem, isSlice := strings.CutPrefix(name, "[]")
	for k := range Kind(len(kinds)) {
		if k.size() == 0 || k.String() != elem {
			continue
		}
		if isSlice {
			b = appendArray(b, k, n/int(k.size()))
		} else {
			b = appendKind(b, k)
		}
		return binary.Append(b, binary.LittleEndian, value)
	}
	return nil, fmt.Errorf("value of type %T, want a sized integer, float32, float64, bool, string, or a slice of one", value)
}

func appendKind(b []byte, k Kind) []byte { return binary.LittleEndian.AppendUint32(b, uint32(k)) }

func appendArray(b []byte, elem Kind, n int) []byte {
	b = appendKind(appendKind(b, KindArray), elem)
	return binary.LittleEndian.AppendUint64(b, uint64(n))
}
