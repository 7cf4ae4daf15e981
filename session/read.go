package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// File is an opened session. Its methods may be called from many goroutines, except Close.
type File struct {
	path   string
	header Header
	layout layout
	sums   []uint32
	file   *os.File
}

// Open reads the header of a session and the checksums of its blocks. The caller closes the file.
func Open(path string) (_ *File, err error) {
	f := &File{path: path}
	var size int64
	if f.file, size, err = openRegular(path); err != nil {
		return nil, err
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
	f.header, f.layout = header, header.layout(n)
	if size != f.layout.end {
		return nil, fmt.Errorf("session: %w: it has %d bytes and should have %d", ErrDamaged, size, f.layout.end)
	}
	return f, f.readTable()
}

// openRegular opens a file to read it, and returns its size. The caller closes the file.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Stat(path) // first, as opening a pipe waits for a writer
	if err != nil {
		return nil, 0, fmt.Errorf("session: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("session: %s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("session: %w", err)
	}
	return file, info.Size(), nil
}

// readTable reads the checksums of the blocks.
func (f *File) readTable() error {
	table := make([]byte, 4*len(f.header.Layers)*f.layout.blocks+4)
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
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("session: %w: it has become shorter", ErrDamaged)
	}
	return fmt.Errorf("session: reading it: %w", err)
}

// Header returns what the rows belong to. It is the file's.
func (f *File) Header() Header { return f.header }

// Bytes returns the size of the file.
func (f *File) Bytes() int64 { return f.layout.end }

// Read reads blocks of a layer into rows, which has room for them, and verifies them. The format is
// that of [Writer.Write].
func (f *File) Read(layer, first, blocks int, rows []byte) error {
	size := f.header.Layers[layer].RowBytes() * BlockCells
	rows = rows[:int64(blocks)*size]
	if _, err := f.file.ReadAt(rows, f.layout.rows[layer]+int64(first)*size); err != nil {
		return fmt.Errorf("%s: %w", f.path, f.failed(err))
	}
	for i := range blocks {
		got := crc32.Checksum(rows[int64(i)*size:][:size], castagnoli)
		if want := f.sums[layer*f.layout.blocks+first+i]; got != want {
			return fmt.Errorf("%s: session: %w: the cells from %d on of layer %d have the checksum %08x and should have %08x",
				f.path, ErrDamaged, (first+i)*BlockCells, layer, got, want)
		}
	}
	return nil
}

// Verify reads all blocks.
func (f *File) Verify() error {
	return eachBlock(f.header, f.layout.blocks, func(layer, block int, rows []byte) error {
		return f.Read(layer, block, 1, rows)
	})
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }
