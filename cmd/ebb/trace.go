package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed4d217819/ebb/trace"
)

// traceFile is a timeline that is written while a command runs. nil writes nothing.
type traceFile struct {
	file   *os.File
	writer *trace.Writer
}

// openTrace begins a timeline in a file; without a name it returns nil. It is called before
// anything is computed, so that a file that cannot be written costs no time.
func openTrace(name, command string) (*traceFile, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	return &traceFile{f, trace.NewWriter(f, command)}, nil
}

// spans returns the function that receives the engine's spans.
func (t *traceFile) spans() trace.Func {
	if t == nil {
		return nil
	}
	return t.writer.Add
}

// Close ends the timeline. The error says why parts of it are missing.
func (t *traceFile) Close() error {
	if t == nil {
		return nil
	}
	return errors.Join(t.writer.Close(), t.file.Close())
}
