package gguf

import (
	"errors"
	"fmt"
	"math"
	"os"
)

// File is an opened GGUF file. Its methods may be called from many goroutines at once, except Close, which comes last.
type File struct {
	version   uint32
	alignment int64

	meta      []entry
	metaIndex map[string]int

	tensors     []Tensor
	tensorIndex map[string]int

	data   []byte // the whole file
	unmap  func() error
	device bool // data is a mapping that a device may map in place
}

// entry is one metadata pair.
type entry struct {
	key   string
	value Value
}

// Open maps the file at path into memory, read-only, and reads its header; the tensors' bytes are read when they are touched.
// (Where the platform has no mappings, it reads the whole file.) A file that is not as it should be is a *FormatError; one of
// another format wraps ErrNotGGUF, a short one ErrTruncated.
//
// The caller closes the File. The file must not shrink while it is open: touching a page that is gone ends the process (SIGBUS).
func Open(path string) (*File, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	defer func() { _ = r.Close() }() // read only: a mapping outlives its descriptor

	info, err := r.Stat()
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("gguf: %s: is a %s, want a regular file", path, describe(info.Mode()))
	}
	if info.Size() > math.MaxInt {
		return nil, fmt.Errorf("gguf: %s: %d bytes do not fit the address space of this platform", path, info.Size())
	}

	var data []byte
	if info.Size() > 0 { // mapping nothing is an error of its own, which would hide that the file is empty
		if data, err = mapFile(r, int(info.Size())); err != nil {
			return nil, fmt.Errorf("gguf: %s: %w", path, err)
		}
	}
	unmap := func() error {
		if data == nil {
			return nil
		}
		if err := unmapFile(data); err != nil {
			return fmt.Errorf("gguf: %s: %w", path, err)
		}
		return nil
	}

	f, err := Parse(data)
	if err != nil {
		if e, ok := errors.AsType[*FormatError](err); ok {
			e.Path = path
		}
		return nil, errors.Join(err, unmap())
	}
	f.unmap, f.device = unmap, mapped
	return f, nil
}

// describe names what kind of thing a file that is not regular is.
func describe(m os.FileMode) string {
	if m.IsDir() {
		return "directory"
	}
	return "special file (" + m.Type().String() + ")"
}

// Close unmaps the file: slices from Data and Mapping must not be used any more. Metadata and tensor entries stay valid.
// A second Close does nothing.
func (f *File) Close() error {
	unmap := f.unmap
	f.data, f.unmap = nil, nil
	if unmap == nil {
		return nil
	}
	return unmap()
}

// Version returns the version of the format: 2 or 3.
func (f *File) Version() int { return int(f.version) }

// Alignment returns the number of bytes of which every tensor's offset is a multiple: a power of two, 32 unless the file says otherwise.
func (f *File) Alignment() int64 { return f.alignment }

// Tensors returns the tensors in file order. The slice is the File's own: it must not be changed.
func (f *File) Tensors() []Tensor { return f.tensors }

// Tensor returns the tensor of that name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.tensorIndex[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Data returns the bytes of t, a tensor of this file. They are the mapping's: read-only, valid until Close, and read from
// the file when they are touched.
func (f *File) Data(t Tensor) []byte {
	return f.data[t.Offset : t.Offset+t.Size : t.Offset+t.Size]
}

// Mapping returns the mapping of the whole file, which starts at a page: a device that can use host memory maps it in place,
// and Tensor.Offset is then a tensor's place in it. It is nil where the platform has no mappings and for a File made by
// Parse. Read-only, valid until Close.
func (f *File) Mapping() []byte {
	if !f.device {
		return nil
	}
	return f.data
}
