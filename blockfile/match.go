package blockfile

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/seed4d217819/ebb/internal/directio"
)

// Blocks returns how many blocks have the rows of the match's tokens. The last one may have rows of other
// tokens behind them.
func (m *Match) Blocks() int { return len(m.blocks) }

// WindowFrom returns the first token from which on layers with windows have rows.
func (m *Match) WindowFrom() int { return m.windowFrom }

// States returns after how many tokens there are states: after all of the match's, and, ascending, all
// numbers up to there.
func (m *Match) States() (computed int, snapshots []int) {
	for _, e := range m.states {
		snapshots = append(snapshots, e.end())
		computed = e.end()
	}
	return computed, snapshots
}

// Read reads blocks [first, first+blocks) of a layer into a buffer, verifies them, and returns the part of
// the buffer that has them, each as kv's Pool.Save gave it. The buffer begins at a multiple of 4096 and has
// 8192 bytes more than the blocks. The error of rows that are not those that were written, or cannot be
// read, wraps ErrDamaged and names the file, which is removed: nobody finds it again. Where the process has
// too many open files, the error is that, and the file stays.
func (m *Match) Read(ctx context.Context, layer, first, blocks int, buffer []byte) ([]byte, error) {
	if first < 0 || blocks < 1 || first+blocks > len(m.blocks) || layer < 0 || layer >= len(m.rows) {
		return nil, fmt.Errorf("blockfile: blocks [%d,%d) of layer %d: the match has %d", first, first+blocks, layer, len(m.blocks))
	}
	l := m.rows[layer]
	size := int(rowsBytes(l, BlockTokens))
	if want := blocks*size + 2*directio.Sector; len(buffer) < want {
		return nil, fmt.Errorf("blockfile: a buffer of %d bytes for %d blocks of layer %d: want %d", len(buffer), blocks, layer, want)
	}
	for i, e := range m.blocks[first : first+blocks] {
		// Sectors are read to whole ones of the buffer. Where blocks are no multiple of them, the rows are
		// moved to the end of those before.
		at := int(roundUp(int64(i * size)))
		rows, err := m.section(ctx, e, layer, buffer[at:])
		if err != nil {
			return nil, err
		}
		block := buffer[i*size:][:size]
		if at != i*size {
			copy(block, rows)
		}
		spread(l, block, len(e.tokens))
	}
	return buffer[:blocks*size], nil
}

// State reads the state of a recurrent layer after as many tokens as the snapshot of that number has, as
// Read does.
func (m *Match) State(ctx context.Context, number, layer int, buffer []byte) ([]byte, error) {
	if number < 0 || number >= len(m.states) || layer < 0 || layer >= len(m.states[number].sections) {
		return nil, fmt.Errorf("blockfile: state %d of recurrent layer %d: the match has %d", number, layer, len(m.states))
	}
	if want := m.states[number].sections[layer].size + 2*directio.Sector; int64(len(buffer)) < want {
		return nil, fmt.Errorf("blockfile: a buffer of %d bytes for a state of recurrent layer %d: want %d", len(buffer), layer, want)
	}
	return m.section(ctx, m.states[number], layer, buffer)
}

// section reads a section of a file and verifies it.
func (m *Match) section(ctx context.Context, e *entry, number int, buffer []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s, path := e.sections[number], m.store.path(e.name)
	b, err := m.store.system.read(path, buffer, e.offset(number), int(s.size))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errors.New("it has become shorter")
	case err == nil:
		if sum := crc32.Checksum(b, castagnoli); sum != s.sum {
			err = fmt.Errorf("layer %d has the checksum %08x and should have %08x", number, sum, s.sum)
		}
	}
	if passing(err) { // the file stays, and whoever tried again at once would fail again
		return nil, fmt.Errorf("blockfile: %s: %w", path, err)
	}
	if err != nil {
		m.store.damaged(e)
		return nil, fmt.Errorf("blockfile: %w: %s: %w", ErrDamaged, path, err)
	}
	m.store.mu.Lock()
	m.store.stats.Read += s.size
	m.store.mu.Unlock()
	return b, nil
}

// Close lets the files be evicted. It may be called twice.
func (m *Match) Close() error {
	files, stale := m.files(), m.stale
	m.blocks, m.states, m.stale = nil, nil, nil
	m.store.note(stale)
	return m.store.release(files)
}
