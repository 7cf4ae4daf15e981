package main

import (
	"fmt"
	"io"

	"github.com/seed4d217819/ebb/internal/textfile"
)

// readText reads a text file, or stdin if the name is -. A byte order mark is dropped, and UTF-16,
// which some shells write, is converted to UTF-8. The error says what was being read.
func readText(what, name string, stdin io.Reader) (text []byte, err error) {
	if name == "-" {
		text, err = io.ReadAll(stdin)
		text = textfile.Decode(text)
	} else {
		text, err = textfile.Read(name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	return text, nil
}
