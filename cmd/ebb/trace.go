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

// openTrace begins a timeline in a file, and none if the file has no name. It comes before anything is computed.
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

// spans returns what the engine gives its spans to.
func (t *traceFile) spans() trace.Func {
	if t == nil {
		return nil
	}
	return t.writer.Add
}

// Close ends the timeline. It returns why parts of it are missing, if they are.
func (t *traceFile) Close() error {
	if t == nil {
		return nil
	}
	return errors.Join(t.writer.Close(), t.file.Close())
}
