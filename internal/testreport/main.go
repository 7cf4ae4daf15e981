// Command testreport runs go test and sums up what ran, for make test:
//
//	testreport [go test's flags] [packages]
//
// It prints a line for each package, each attribute that a test gives itself (testing.T.Attr), the output of each test
// that failed, every reason for which tests were skipped with the tests that gave it, and last of all
//
//	N passed, N failed, N skipped
//
// A test with subtests is not counted beside them. A package that does not build, or that dies, counts as a failed
// test if none of its tests did. The exit status is go test's.
//
// With EBB_REQUIRE=all in the environment a skip is a failure: it says that this machine can run everything. Two
// kinds of skip are excused, by their reasons: those that name EBB_TEST_ALL (the full matrices, which make test-all
// runs), and those that begin with "cpu:" (the processor lacks the instructions under test).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	os.Exit(status)
}

// run runs go test with the arguments, prints the report, and returns the exit status.
func run(ctx context.Context, args []string) (int, error) {
	require := os.Getenv("EBB_REQUIRE")
	if require != "" && require != "all" {
		return 2, fmt.Errorf("EBB_REQUIRE is %q; it can be \"all\" or unset", require)
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it still tells what it knows
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r := newReport(os.Stdout, require == "all")
	readErr := r.read(stdout)
	waitErr := cmd.Wait()

	status := 0
	if exit, ok := errors.AsType[*exec.ExitError](waitErr); ok {
		status = max(exit.ExitCode(), 1) // -1: ended by a signal
	} else if waitErr != nil {
		status = 1
	}
	if !r.sum(status != 0) && status == 0 {
		status = 1
	}
	return status, readErr
}
