//go:build !linux

package disk

import (
	"errors"
	"os"
)

// ReadVector is for Linux.
func (f *rowFile) ReadVector([][]byte, int64) (ok bool, err error) { return false, nil }

// Extend makes the file longer.
func (f *rowFile) Extend(_, to int64) error { return f.Truncate(to) }

// Punch is for Linux.
func (f *rowFile) Punch(_, _ int64) error { return errors.ErrUnsupported }

func forget(*os.File, int64, int64) {}

func flush(*os.File, int64, int64) error { return nil }
