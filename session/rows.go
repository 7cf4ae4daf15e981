package session

import (
	"context"
	"fmt"

	"github.com/seed4d217819/ebb/internal/directio"
)

// Rows reads the rows and states of a session at the rate of the disk: past the page cache, where the file
// system can do that. It may be used from many goroutines, except Close, and after the file that it
// is of was closed.
type Rows struct {
	of     *File
	direct readCloser
}

// Rows opens the file again to read its rows. The caller closes the result.
func (f *File) Rows() (*Rows, error) {
	if err := f.Damage(); err != nil {
		return nil, err
	}
	direct, err := f.files.openDirect(f.path)
	if err != nil { // it was there: the disk is gone, or somebody has removed it
		return nil, fmt.Errorf("%s: session: %w: %w", f.path, ErrDamaged, err)
	}
	return &Rows{of: f, direct: direct}, nil
}

// Read reads blocks of a layer into a buffer, verifies them, and returns the part of the buffer that
// has them, in the format of [Writer.Write]. The buffer begins at a multiple of 4096 and has 8192
// bytes more than the blocks. The error of rows that are not those that were saved, or cannot be
// read, wraps ErrDamaged and names the file.
func (r *Rows) Read(ctx context.Context, layer, first, blocks int, buffer []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := r.of
	size := int(f.header.Layers[layer].RowBytes() * BlockCells)
	rows, err := directio.Read(r.direct, buffer, f.offset(layer, first), blocks*size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, f.failed(err))
	}
	return rows, f.verify(layer, first, rows)
}

// Close closes the file.
func (r *Rows) Close() error { return r.direct.Close() }
