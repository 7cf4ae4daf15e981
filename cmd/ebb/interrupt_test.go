package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestCtrlCEndsARunWithWhatWasGenerated(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("cpu: Windows sends no interrupts to other processes")
	}
	needLibraries(t)
	timeline := filepath.Join(t.TempDir(), "trace.json")
	// With this link a step takes a good part of a second, so there is time to interrupt before the
	// text ends.
	cmd := exec.Command(os.Args[0], "run", "-m", "../../testdata/models/tiny-gqa.gguf", "--prompt-ids", "22", "--ignore-eos",
		"--max-new-tokens", "500", "--cache", "offloaded", "--forced-copies", "--link", "50k", "--threads", "1",
		"--trace", timeline)
	cmd.Args[0] = "ebb" // as which TestMain runs main
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stdout := bufio.NewReader(out)
	first, err := stdout.ReadByte()
	if err != nil {
		t.Fatalf("no text: %v\n%s", err, stderr.String())
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := stdout.ReadString('\n')
	if err != nil {
		t.Errorf("after %q and %q: %v, want a whole line", first, rest, err)
	}
	if first != 'M' || len(rest) > 100 {
		t.Errorf("text %q and %d bytes more; want M and few", first, len(rest))
	}
	_ = cmd.Wait() // the status is looked at below
	if got := cmd.ProcessState.ExitCode(); got != exitFailed {
		t.Errorf("exit status %d, want %d", got, exitFailed)
	}
	for _, want := range []string{"ebb: interrupted\n", "tokens/s", "K/V"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr lacks %q:\n%s", want, stderr.String())
		}
	}
	text, err := os.ReadFile(timeline)
	if err != nil {
		t.Fatal(err)
	}
	var events []struct{ Cat string }
	if err := json.Unmarshal(text, &events); err != nil {
		t.Fatalf("the trace of an interrupted run: %v\n%s", err, text)
	}
	tracks := map[string]bool{}
	for _, e := range events {
		tracks[e.Cat] = true
	}
	for _, want := range []string{"step", "compute", "fetch", "store"} {
		if !tracks[want] {
			t.Errorf("the trace of an interrupted run has no %s", want)
		}
	}
}
