//go:build !darwin && !linux

package ggml

import (
	"errors"
	"fmt"
	"runtime"
)

var errPlatform = fmt.Errorf("ggml: loading libraries on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func openLibrary(string) (uintptr, error) { return 0, errPlatform }

func symbol(uintptr, string) (uintptr, error) { return 0, errPlatform }

func setCEnv(string, string) error { return errPlatform }
