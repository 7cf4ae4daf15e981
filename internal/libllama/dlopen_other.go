//go:build !darwin && !linux

package libllama

import (
	"errors"
	"fmt"
	"runtime"
)

var errPlatform = fmt.Errorf("loading libraries on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func fileNames() []string { return []string{"llama*.dll"} }

func dlopen(string) (uintptr, error) { return 0, errPlatform }

func dlsym(uintptr, string) (uintptr, error) { return 0, errPlatform }
