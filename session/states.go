package session

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/seed4d217819/ebb/internal/directio"
)

// Recurrent layers have no rows. A session has their states after some numbers of tokens: those of
// [Header.Snapshots], which let fewer of its tokens be restored, and last the state with which the
// sequence goes on.

// ReadState reads the state of a recurrent layer, by the number that [Writer.WriteState] has given it,
// and verifies it.
func (f *File) ReadState(number, layer int, state []byte) error {
	if err := f.Damage(); err != nil {
		return err
	}
	state = state[:f.header.States[layer]]
	if _, err := f.file.ReadAt(state, f.layout.states[f.state(number, layer)]); err != nil {
		return fmt.Errorf("%s: %w", f.path, f.failed(err))
	}
	return f.verifyState(number, layer, state)
}

// State reads the state of a recurrent layer as [File.ReadState] does, but into a part of a buffer, which
// it returns. The buffer and errors are as those of [Rows.Read].
func (r *Rows) State(ctx context.Context, number, layer int, buffer []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := r.of
	state, err := directio.Read(r.direct, buffer, f.layout.states[f.state(number, layer)], int(f.header.States[layer]))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, f.failed(err))
	}
	return state, f.verifyState(number, layer, state)
}

// States returns the header's Computed and Snapshots.
func (r *Rows) States() (computed int, snapshots []int) {
	return r.of.header.Computed, r.of.header.Snapshots
}

// state returns the number of a state among all.
func (f *File) state(number, layer int) int { return number*len(f.header.States) + layer }

// verifyState compares a state with its checksum.
func (f *File) verifyState(number, layer int, state []byte) error {
	got, want := crc32.Checksum(state, castagnoli), f.sums[len(f.header.Layers)*f.layout.blocks+f.state(number, layer)]
	if got != want {
		return fmt.Errorf("%s: session: %w: the state of recurrent layer %d after %d tokens has the checksum %08x and should have %08x",
			f.path, ErrDamaged, layer, f.header.statesAt()[number], got, want)
	}
	return nil
}

// verifyStates reads all states.
func (f *File) verifyStates() error {
	all := f.header.statesAt()
	if len(all) == 0 {
		return nil
	}
	state := make([]byte, slices.Max(f.header.States))
	for i := range all {
		for l := range f.header.States {
			if err := f.ReadState(i, l, state); err != nil {
				return err
			}
		}
	}
	return nil
}
