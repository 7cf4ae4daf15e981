package gguf

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// File is an opened GGUF file. Its methods may be called from many goroutines at once, except
// Close, which comes last.
type File struct {
	version   uint32
	alignment int64

	meta      []entry
	metaIndex map[string]int

	tensors     []Tensor
	tensorIndex map[string]int

	parts []part // at least one
}

// part is a file and its memory.
type part struct {
	Part
	data   []byte   // the whole file
	file   *os.File // nil where data is no mapping
	unmap  func() error
	device bool // data is a mapping that a device may map in place
}

// entry is one metadata pair.
type entry struct {
	key   string
	value Value
}

// Open maps the file at path into memory, read-only, and reads its header; the tensors' bytes are
// read when they are touched. (Where the platform has no mappings, it reads the whole file.) If it
// is a part of a model that is split into files, all of them are opened, whichever part path names:
// the metadata is the first part's, the tensors are those of all. A file that is not as it should
// be is a *FormatError; one of another format wraps ErrNotGGUF, a short one ErrTruncated.
//
// The caller closes the File. The files should not shrink while it is open: touching a page that is
// gone ends the process (SIGBUS). Only Read reports that as an error.
func Open(path string) (*File, error) { return open(path) }

// openFile opens one file, whether or not it is a whole model.
func openFile(path string) (*File, error) {
	info, err := os.Stat(path) // first, as opening a pipe waits for a writer
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("gguf: %s is a %s: want a GGUF file", path, describe(info.Mode()))
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	f, err := openRegular(r, path)
	if err != nil || !mapped {
		_ = r.Close() // it was only read
	}
	return f, err
}

// openRegular maps an opened file and reads its header. The File closes r where it is mapped.
func openRegular(r *os.File, path string) (*File, error) {
	info, err := r.Stat() // of what was opened, for its size
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
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
	p := &f.parts[0]
	p.Path, p.unmap, p.device = path, unmap, mapped
	if mapped {
		p.file, p.unmap = r, func() error { return errors.Join(unmap(), r.Close()) }
	}
	return f, nil
}

// describe names the kind of a file that is not regular.
func describe(m os.FileMode) string {
	if m.IsDir() {
		return "directory"
	}
	return "special file (" + m.Type().String() + ")"
}

// Close unmaps the files. Slices from Data and Mapping must not be used afterwards. Metadata and
// tensor entries stay valid. A second Close does nothing.
func (f *File) Close() error {
	var errs []error
	for i := range f.parts {
		p := &f.parts[i]
		unmap := p.unmap
		p.data, p.file, p.unmap = nil, nil, nil
		if unmap != nil {
			errs = append(errs, unmap())
		}
	}
	return errors.Join(errs...)
}

// Parts returns the files that the model is in, the first part first: one, for most models. It
// stays valid after Close.
func (f *File) Parts() []Part {
	parts := make([]Part, len(f.parts))
	for i, p := range f.parts {
		parts[i] = p.Part
	}
	for _, t := range f.tensors {
		parts[t.Part].Tensors++
	}
	return parts
}

// Version returns the version of the format: 2 or 3.
func (f *File) Version() int { return int(f.version) }

// Alignment returns the number of bytes of which every tensor's offset is a multiple: a power of
// two, 32 unless the file says otherwise.
func (f *File) Alignment() int64 { return f.alignment }

// Tensors returns the tensors in file order, those of the first part first. The slice is the File's
// own: it must not be changed.
func (f *File) Tensors() []Tensor { return f.tensors }

// Tensor returns the tensor of that name.
func (f *File) Tensor(name string) (Tensor, bool) {
	i, ok := f.tensorIndex[name]
	if !ok {
		return Tensor{}, false
	}
	return f.tensors[i], true
}

// Data returns the bytes of t, a tensor of this file. They are the mapping's: read-only, valid
// until Close, and read from the file when they are touched. Of a File of ParseHeader they are nil,
// and where the platform has no mappings, after all of the part was released.
func (f *File) Data(t Tensor) []byte {
	if f.parts[t.Part].data == nil {
		return nil
	}
	return f.parts[t.Part].data[t.Offset : t.Offset+t.Size : t.Offset+t.Size]
}

// Read reads the bytes [from, from+len(to)) of t, a tensor of this file. Unlike those of Data they take
// no memory of the process but to, and where the file is mapped, one that has become shorter or cannot
// be read is an error. It may be called from many goroutines at once, also for the same bytes.
func (f *File) Read(t Tensor, from int64, to []byte) error {
	p := &f.parts[t.Part]
	if size := int64(len(to)); from < 0 || size > t.Size-from {
		return fmt.Errorf("gguf: %s: read bytes %d to %d of tensor %s, which has %d", p.Path, from, from+size, quote(t.Name), t.Size)
	}
	if p.file == nil {
		if p.data == nil {
			return fmt.Errorf("gguf: %s: read tensor %s: its file is closed, or its memory released", p.Path, quote(t.Name))
		}
		copy(to, p.data[t.Offset+from:])
		return nil
	}
	n, err := p.file.ReadAt(to, t.Offset+from)
	if errors.Is(err, io.EOF) {
		return &FormatError{
			Path: p.Path, Field: "tensor " + quote(t.Name), Offset: t.Offset,
			Err: fmt.Errorf("the file became shorter while it was in use, and ends at byte %d: %w", t.Offset+from+int64(n), ErrTruncated),
		}
	}
	if err != nil {
		return fmt.Errorf("gguf: read tensor %s: %w", quote(t.Name), err)
	}
	return nil
}

// Release gives the memory of the bytes [from, to) of a part back to the system. They stay valid: if
// they are touched again, they are read from the file again. Only whole pages are given back. Where
// the platform has no mappings, only a whole part can be released, and its Data is nil then. While a
// whole part is released, no other method may be called. Otherwise calls for other bytes may run at
// the same time.
func (f *File) Release(part int, from, to int64) error {
	p := &f.parts[part]
	switch {
	case p.data == nil || p.unmap == nil: // read already, or the caller's memory
		return nil
	case from < 0 || to > int64(len(p.data)):
		return fmt.Errorf("gguf: %s: release bytes %d to %d of %d", p.Path, from, to, len(p.data))
	case !p.device:
		if from == 0 && to == int64(len(p.data)) {
			p.data, p.unmap = nil, nil
		}
		return nil
	}
	page := int64(os.Getpagesize())
	if first, end := (from+page-1)/page*page, wholePages(to, page, int64(len(p.data))); first < end {
		if err := releasePages(p.data[first:end]); err != nil {
			return fmt.Errorf("gguf: %s: %w", p.Path, err)
		}
	}
	return nil
}

// Prefetch has the system begin to read the bytes [from, to) of a part, so that they are in memory when
// they are touched. It is advice: there is no error. It may be called at the same time as Release.
func (f *File) Prefetch(part int, from, to int64) {
	p := &f.parts[part]
	if !p.device || from < 0 || from >= to || to > int64(len(p.data)) {
		return
	}
	prefetchPages(p.data[from/int64(os.Getpagesize())*int64(os.Getpagesize()) : to])
}

// wholePages returns the end of the pages that lie before to; the last page of a file ends with it.
func wholePages(to, page, size int64) int64 {
	if to == size {
		return to
	}
	return to / page * page
}

// Mapping returns the mapping of a whole part, which starts at a page: a device that can use host
// memory maps it in place, and Tensor.Offset is then a tensor's place in it. It is nil where the
// platform has no mappings and for a File made by Parse. Read-only, valid until Close.
func (f *File) Mapping(part int) []byte {
	p := f.parts[part]
	if !p.device {
		return nil
	}
	return p.data
}
