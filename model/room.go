package model

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
)

// NoRoom says in [Devices.Room] that no memory is free.
const NoRoom = -1

// RoomError says that memory has no room for the copies of weights with which the CPU computes
// fastest. With [Devices.Mapped] there are none.
type RoomError struct {
	Copies int64 // bytes
	Room   int64 // bytes of host memory that are free, unless memory was refused
	Left   int64 // of these, bytes that all else needs
	Err    error // with which it was refused, else nil
}

func (e *RoomError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("no memory for copies of the weights, %s: %v", bytesize.Format(e.Copies), e.Err)
	}
	if e.Copies <= e.Room {
		return fmt.Sprintf("copies of the weights take %s beside at least %s for all else, and %s of memory are free",
			bytesize.Format(e.Copies), bytesize.Format(e.Left), bytesize.Format(e.Room))
	}
	return fmt.Sprintf("copies of the weights take %s, and %s of memory are free", bytesize.Format(e.Copies), bytesize.Format(e.Room))
}

// Unwrap returns the error with which memory was refused.
func (e *RoomError) Unwrap() error { return e.Err }

// copies returns how many bytes of weights the CPU copies that it could use where they are mapped.
func (l *Loader) copies() (bytes int64) {
	for _, w := range l.found.weights {
		faster := func() bool { return slices.ContainsFunc(l.devices.faster(w.backend), w.fits) }
		if w.backend.Device().Type() == ggml.CPU && l.file.Mapping(w.source.Part) != nil && (w.packable() || faster()) {
			bytes += w.source.Size
		}
	}
	return bytes
}

// checkRoom reports copies beside which the memory that is free has too little room, if that is known.
func (l *Loader) checkRoom() error {
	room, left := l.devices.Room, l.devices.Left
	if n := l.copies(); room != 0 && n > 0 && n > max(0, room)-left {
		return &RoomError{Copies: n, Room: max(0, room), Left: left}
	}
	return nil
}

// noRoom returns err as a RoomError if it says that there is no memory for copies on the device.
func (l *Loader) noRoom(b *ggml.Backend, err error) error {
	if n := l.copies(); n > 0 && b.Device().Type() == ggml.CPU && errors.Is(err, ggml.ErrNoMemory) {
		return &RoomError{Copies: n, Err: err}
	}
	return err
}
