package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
)

// testRun is the result of the tests of one package.
type testRun struct {
	Package string   `json:"package"`
	Passed  int      `json:"passed"`
	Failed  []string `json:"failed"`
	Skipped []string `json:"skipped"`
	Error   string   `json:"error,omitempty"` // why the program failed
}

func policies() []kv.Policy {
	return []kv.Policy{kv.Dynamic, kv.Static, kv.Offloaded, kv.OffloadedStatic}
}

// runTests runs test binaries with the device in place of the software one. On a GPU it runs every
// combination, for which the software driver would take minutes.
func runTests(ctx context.Context, d *ggml.Device, binaries []string) (runs []testRun, passed bool) {
	env := append(os.Environ(), "EBB_TEST_DEVICE="+d.Name(), "GGML_NO_BACKTRACE=1")
	if !d.Software() {
		env = append(env, "EBB_TEST_ALL=1")
	}
	passed = len(binaries) > 0
	for _, b := range binaries {
		run := runTest(ctx, b, env)
		fmt.Printf("%-8s %d passed, %d failed, %d skipped %s\n", run.Package, run.Passed, len(run.Failed), len(run.Skipped), run.Error)
		passed = passed && run.Passed > 0 && len(run.Failed) == 0 && run.Error == ""
		runs = append(runs, run)
	}
	return runs, passed
}

func runTest(ctx context.Context, binary string, env []string) testRun {
	run := testRun{Package: folderOf(binary)}
	path, err := filepath.Abs(binary)
	if err != nil {
		run.Error = err.Error()
		return run
	}
	args := []string{"-test.v", "-test.timeout=60m"}
	if pattern := os.Getenv("EBB_GPU_TESTS"); pattern != "" {
		args = append(args, "-test.run="+pattern)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = run.Package, env, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err == nil {
		if err = cmd.Start(); err == nil {
			run.read(out)
			err = cmd.Wait()
		}
	}
	if err != nil {
		run.Error = err.Error()
	}
	return run
}

// read counts the verdicts that -test.v prints, and prints those of tests that fail.
func (r *testRun) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		verdict, name, ok := strings.Cut(strings.TrimSpace(line), ": ")
		name, _, _ = strings.Cut(name, " (")
		switch {
		case !ok:
		case verdict == "--- PASS":
			r.Passed++
		case verdict == "--- FAIL":
			r.Failed = append(r.Failed, name)
		case verdict == "--- SKIP":
			r.Skipped = append(r.Skipped, name)
		}
		if strings.Contains(line, "_test.go:") || verdict == "--- FAIL" || strings.HasPrefix(line, "panic") {
			fmt.Println(line)
		}
	}
}
