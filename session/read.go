package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/seed4d217819/ebb/internal/directio"
)

// File is an opened session. Its methods may be called from many goroutines, except Close.
type File struct {
	path   string
	header Header
	layout layout
	sums   []uint32
	damage error // why no row can be read; nil: they can, unless they are damaged themselves
	file   readCloser
	files  files
}

// files opens files for reading: through the page cache, and past it. Tests make reads fail.
type files struct {
	open, openDirect func(path string) (readCloser, error)
}

func realFiles() files {
	return files{
		open:       func(path string) (readCloser, error) { return os.Open(path) },
		openDirect: func(path string) (readCloser, error) { return directio.Open(path) },
	}
}

// Open reads the header of a session and the checksums of its blocks. If its header and tokens are
// whole and the rest is not, the file opens, and whoever reads its rows gets ErrDamaged. The caller
// closes the file.
func Open(path string) (*File, error) { return openFile(path, realFiles()) }

func openFile(path string, from files) (_ *File, err error) {
	size, err := regular(path)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, files: from}
	if f.file, err = from.open(path); err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", path, err), f.file.Close())
		}
	}()
	header, n, err := decode(f.file, size)
	if err != nil {
		return nil, err
	}
	f.header = header
	if f.damage = header.hold(size); f.damage != nil {
		return f, nil
	}
	if f.layout = header.layout(n); size != f.layout.end {
		f.damage = fmt.Errorf("session: %w: it has %d bytes and should have %d", ErrDamaged, size, f.layout.end)
		return f, nil
	}
	f.damage = f.readTable()
	return f, nil
}

// regular returns the size of a file that can be opened: opening a pipe waits for a writer.
func regular(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("session: %w", err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("session: %s is not a regular file", path)
	}
	return info.Size(), nil
}

// openRegular opens a file to read it, and returns its size. The caller closes the file.
func openRegular(path string) (*os.File, int64, error) {
	size, err := regular(path)
	if err != nil {
		return nil, 0, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("session: %w", err)
	}
	return file, size, nil
}

// readTable reads the checksums of the blocks and states.
func (f *File) readTable() error {
	table := make([]byte, 4*(len(f.header.Layers)*f.layout.blocks+len(f.layout.states))+4)
	if _, err := f.file.ReadAt(table, f.layout.table); err != nil {
		return f.failed(err)
	}
	n := len(table) - 4
	if binary.LittleEndian.Uint32(table[n:]) != crc32.Checksum(table[:n], castagnoli) {
		return fmt.Errorf("session: %w: its table of checksums is not what was written", ErrDamaged)
	}
	for ; len(table) > 4; table = table[4:] {
		f.sums = append(f.sums, binary.LittleEndian.Uint32(table))
	}
	return nil
}

func (f *File) failed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("session: %w: it has become shorter", ErrDamaged)
	}
	return fmt.Errorf("session: %w: reading it: %w", ErrDamaged, err)
}

// Header returns what the rows belong to. It is the file's.
func (f *File) Header() Header { return f.header }

// Damage returns why none of the rows can be read, or nil. Header and tokens are whole.
func (f *File) Damage() error {
	if f.damage == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", f.path, f.damage)
}

// Bytes returns the size of the file; 0 if it is damaged.
func (f *File) Bytes() int64 { return f.layout.end }

// Read reads blocks of a layer into rows, which has room for them, and verifies them. The format is
// that of [Writer.Write].
func (f *File) Read(layer, first, blocks int, rows []byte) error {
	if err := f.Damage(); err != nil {
		return err
	}
	size := f.header.Layers[layer].RowBytes() * BlockCells
	rows = rows[:int64(blocks)*size]
	if _, err := f.file.ReadAt(rows, f.offset(layer, first)); err != nil {
		return fmt.Errorf("%s: %w", f.path, f.failed(err))
	}
	return f.verify(layer, first, rows)
}

// offset returns where a block of a layer begins.
func (f *File) offset(layer, block int) int64 {
	return f.layout.rows[layer] + int64(block)*f.header.Layers[layer].RowBytes()*BlockCells
}

// verify compares blocks of a layer with their checksums.
func (f *File) verify(layer, first int, rows []byte) error {
	size := f.header.Layers[layer].RowBytes() * BlockCells
	for i := range len(rows) / int(size) {
		got := crc32.Checksum(rows[int64(i)*size:][:size], castagnoli)
		if want := f.sums[layer*f.layout.blocks+first+i]; got != want {
			return fmt.Errorf("%s: session: %w: the cells from %d on of layer %d have the checksum %08x and should have %08x",
				f.path, ErrDamaged, (first+i)*BlockCells, layer, got, want)
		}
	}
	return nil
}

// Verify reads all blocks and states.
func (f *File) Verify() error {
	if err := f.Damage(); err != nil {
		return err
	}
	if err := eachBlock(f.header, f.layout.blocks, func(layer, block int, rows []byte) error {
		return f.Read(layer, block, 1, rows)
	}); err != nil {
		return err
	}
	return f.verifyStates()
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }
