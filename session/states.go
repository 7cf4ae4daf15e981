package session

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/seed4d217819/ebb/internal/directio"
)

// Recurrent layers have no rows. A session has their states after some numbers of tokens,
// [Header.Snapshots]: the last one is the state with which the sequence goes on, and the others let fewer
// of its tokens be restored.

// ReadState reads the state of a recurrent layer in a snapshot, which has room for it, and verifies it.
func (f *File) ReadState(snapshot, layer int, state []byte) error {
	if err := f.Damage(); err != nil {
		return err
	}
	state = state[:f.header.States[layer]]
	if _, err := f.file.ReadAt(state, f.layout.states[f.state(snapshot, layer)]); err != nil {
		return fmt.Errorf("%s: %w", f.path, f.failed(err))
	}
	return f.verifyState(snapshot, layer, state)
}

// State reads the state of a recurrent layer in a snapshot into a buffer, verifies it, and returns the
// part of the buffer that has it. The buffer and errors are as those of [Rows.Read].
func (r *Rows) State(ctx context.Context, snapshot, layer int, buffer []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := r.of
	state, err := directio.Read(r.direct, buffer, f.layout.states[f.state(snapshot, layer)], int(f.header.States[layer]))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, f.failed(err))
	}
	return state, f.verifyState(snapshot, layer, state)
}

// Snapshots returns after how many tokens there are states, ascending. They are the file's.
func (r *Rows) Snapshots() []int { return r.of.header.Snapshots }

// state returns the number of a state among all.
func (f *File) state(snapshot, layer int) int { return snapshot*len(f.header.States) + layer }

// verifyState compares a state with its checksum.
func (f *File) verifyState(snapshot, layer int, state []byte) error {
	got, want := crc32.Checksum(state, castagnoli), f.sums[len(f.header.Layers)*f.layout.blocks+f.state(snapshot, layer)]
	if got != want {
		return fmt.Errorf("%s: session: %w: the state of recurrent layer %d after %d tokens has the checksum %08x and should have %08x",
			f.path, ErrDamaged, layer, f.header.Snapshots[snapshot], got, want)
	}
	return nil
}

// verifyStates reads all states.
func (f *File) verifyStates() error {
	if len(f.header.Snapshots) == 0 {
		return nil
	}
	state := make([]byte, slices.Max(f.header.States))
	for i := range f.header.Snapshots {
		for l := range f.header.States {
			if err := f.ReadState(i, l, state); err != nil {
				return err
			}
		}
	}
	return nil
}
