package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNotGGUF reports that a file does not start with GGUF's magic: it has another format.
	ErrNotGGUF = errors.New("not a GGUF file")

	// ErrTruncated reports that a file is shorter than its header promises, most often because a
	// download did not finish.
	ErrTruncated = errors.New("the file is truncated; download it again")

	// ErrPartial reports that ParseHeader was given too few of a file's bytes.
	ErrPartial = errors.New("the header goes on after the bytes that were read")
)

// FormatError describes a fault of a file and its place.
type FormatError struct {
	Path   string // the file's name; empty if the bytes came from Parse
	Field  string // the part at fault: `magic`, `key "general.alignment"`, `tensor "output.weight"`, …
	Offset int64  // where that part starts: bytes from the start of the file
	Err    error
}

func (e *FormatError) Error() string {
	var b strings.Builder
	b.WriteString("gguf: ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	fmt.Fprintf(&b, "%s (at byte %d): %v", e.Field, e.Offset, e.Err)
	return b.String()
}

func (e *FormatError) Unwrap() error { return e.Err }

// quote quotes a name from the file for an error message: names may be long, and made of anything.
func quote(name string) string {
	const most = 80
	if len(name) > most {
		return fmt.Sprintf("%q… (%d bytes)", name[:most], len(name))
	}
	return fmt.Sprintf("%q", name)
}

// strangers are formats that people hand over in place of GGUF, by how their files begin.
var strangers = []struct{ prefix, hint string }{
	{"version https://git-lfs", "this is a Git LFS pointer, the file itself was never fetched; run: git lfs pull"},
	{"PK\x03\x04", "this looks like a zip archive (a PyTorch checkpoint is one); convert the model to GGUF first"},
	{"\x80\x02", "this looks like a Python pickle (an old PyTorch checkpoint); convert the model to GGUF first"},
	{"\x1f\x8b", "this looks like a gzip archive; unpack it first"},
	{"\x28\xb5\x2f\xfd", "this looks like a zstd archive; unpack it first"},
	{"<", "this looks like a web page; the download gave an error or login page in place of the file"},
	{"lmgg", "this is ggml's format from before GGUF; convert the model again with a current llama.cpp"},
	{"fmgg", "this is ggml's format from before GGUF; convert the model again with a current llama.cpp"},
	{"tjgg", "this is ggml's format from before GGUF; convert the model again with a current llama.cpp"},
	{"algg", "this is a ggml adapter from before GGUF; convert it again with a current llama.cpp"},
	{"FUGG", "the magic is byte-swapped; download or convert the file again"},
	{"{", "this looks like JSON; name the .gguf file instead"},
	{"\x00\x00\x00\x00\x00\x00\x00\x00", "the file begins with zeros: a download that reserved its space and did not finish; download it again"},
}

// notGGUF explains why head, the first bytes of a file, is not GGUF's magic.
func notGGUF(head []byte) error {
	if len(head) == 0 {
		return fmt.Errorf("%w: it is empty: %w", ErrNotGGUF, ErrTruncated)
	}
	first := head[:min(len(head), len(magic))]
	err := fmt.Errorf("%w: it starts with %q, want %q", ErrNotGGUF, first, magic)
	if bytes.HasPrefix([]byte(magic), head) {
		return fmt.Errorf("%w: it is %d bytes long: %w", ErrNotGGUF, len(head), ErrTruncated)
	}
	for _, s := range strangers {
		if bytes.HasPrefix(head, []byte(s.prefix)) {
			return fmt.Errorf("%w: %s", err, s.hint)
		}
	}
	// A safetensors file starts with the length of its JSON header, then the JSON.
	if len(head) > 8 && head[8] == '{' && binary.LittleEndian.Uint64(head) < 1<<32 {
		return fmt.Errorf("%w: this looks like safetensors; convert the model to GGUF first", err)
	}
	return err
}
