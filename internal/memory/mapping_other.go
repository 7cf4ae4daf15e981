//go:build !linux

package memory

import (
	"errors"
	"fmt"
	"runtime"
)

// errUnsupported says that the system does not say what is in memory.
var errUnsupported = fmt.Errorf("memory: what a process has in memory on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Mappings reports that the system does not say what is in memory.
func Mappings() ([]Mapping, error) { return nil, errUnsupported }

// Resident reports that the system does not say what is in memory.
func Resident(uintptr, int64) (int64, error) { return 0, errUnsupported }

// StackSize returns 0: it is not known.
func StackSize() uintptr { return 0 }

// releaseCode does nothing on this system.
func releaseCode() {}
