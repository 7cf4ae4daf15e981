//go:build !darwin && !linux && !windows

package dl

import (
	"errors"
	"fmt"
	"runtime"
)

var errPlatform = fmt.Errorf("loading libraries on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Open reports that libraries cannot be loaded on this system.
func Open(string, bool) (Library, error) { return 0, errPlatform }

// Symbol reports that libraries cannot be loaded on this system.
func (Library) Symbol(string) (uintptr, error) { return 0, errPlatform }

// Setenv reports that libraries cannot be loaded on this system.
func Setenv(string, string) error { return errPlatform }

// Close does nothing: no library can be loaded on this system.
func (Library) Close() {}
