// Command testreport runs go test and sums up what ran, for make test:
//
//	testreport [go test's flags] [packages] [-- ...]
//
// Arguments after -- are those of another run of go test, as in -- -C bench ./... for the tests of a module in a folder.
//
// It prints a line for each package, each attribute that a test gives itself (testing.T.Attr), the
// output of each test that failed, every reason for which tests were skipped with the tests that
// gave it, and last of all
//
//	N passed, N failed, N skipped
//
// A test with subtests is not counted beside them. A package that does not build, or that dies,
// counts as a failed test if none of its tests did. The exit status is go test's.
//
// With EBB_REQUIRE=all in the environment a skip is a failure: it says that this machine can run
// everything. Two kinds of skip are excused, by their reasons: those that name EBB_TEST_ALL (the
// full matrices, which make test-all runs), and those that begin with "cpu:" (the processor lacks
// the instructions under test).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
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
	r := newReport(os.Stdout, require == "all")
	status := 0
	var errs []error
	for _, arguments := range runs(args) {
		ended, err := r.run(ctx, arguments)
		status = max(status, ended)
		errs = append(errs, err)
	}
	if !r.sum(status != 0) && status == 0 {
		status = 1
	}
	return status, errors.Join(errs...)
}

// runs returns the arguments of each run of go test.
func runs(args []string) (all [][]string) {
	for {
		i := slices.Index(args, "--")
		if i < 0 {
			return append(all, jsonOutput(args))
		}
		all, args = append(all, jsonOutput(args[:i])), args[i+1:]
	}
}

// jsonOutput returns the arguments of go test with -json. go wants -C before every other flag.
func jsonOutput(args []string) []string {
	at := 0
	if len(args) > 1 && args[0] == "-C" {
		at = 2
	}
	return slices.Concat([]string{"test"}, args[:at], []string{"-json"}, args[at:])
}

// run runs go with the arguments, reads its events, and returns its exit status.
func (r *report) run(ctx context.Context, args []string) (int, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it still tells what it knows
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	readErr := r.read(stdout)
	waitErr := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](waitErr); ok {
		return max(exit.ExitCode(), 1), readErr // -1: ended by a signal
	}
	if waitErr != nil {
		return 1, readErr
	}
	return 0, readErr
}
