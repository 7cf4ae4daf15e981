package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// fullDisk refuses what is written to it.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestInspectFailsIfItsOutputCannotBeWritten(t *testing.T) {
	const model = "../../testdata/models/tiny-gqa.gguf"
	for _, args := range [][]string{{"inspect", model}, {"inspect", "--json", model}} {
		var stderr bytes.Buffer
		if got := execute(args, strings.NewReader(""), fullDisk{}, &stderr); got != exitFailed {
			t.Errorf("ebb %s: exit status %d, want %d", strings.Join(args, " "), got, exitFailed)
		}
		if !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("ebb %s: stderr is %q, want the reason", strings.Join(args, " "), stderr.String())
		}
	}
}
