// Command limited compares ebb with llama.cpp where the K/V do not fit into memory: both decode the
// same tokens at the end of a long context, in a memory cgroup of the same size. ebb keeps what does not
// fit in files; llama.cpp has a swap file on the same disk. bench/limited.sh builds and runs it:
//
//	limited -m model.gguf --dir /var/tmp --memory 300   measure
//	limited clean --dir /var/tmp                        remove what a killed run has left
//	limited arm …                                       what runs in the cgroup
//
// Both programs compute the first tokens of the context and repeat their K/V, so that nobody waits for a
// prompt of 32,000 tokens. It needs Linux, root, and a memory controller of cgroups, version 1 or 2.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// version is set by the linker, as in -X main.version=v1.2.3.
var version = "(devel)"

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // something could not be measured
	exitMisuse = 2 // the flags make no sense
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// errMisuse is an error of the command line.
var errMisuse = errors.New("limited")

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	command := "measure"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	o := options{}
	flags := pflag.NewFlagSet("limited "+command, pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(stderr)
	o.register(flags)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return exitOK
	case err != nil:
		err = fmt.Errorf("%w: %w", errMisuse, err)
	case flags.NArg() > 0:
		err = fmt.Errorf("%w: unexpected argument %q", errMisuse, flags.Arg(0))
	default:
		err = o.do(ctx, command, stdin, stdout, stderr)
	}
	switch {
	case errors.Is(err, errMisuse):
		fmt.Fprintln(stderr, err)
		return exitMisuse
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "limited: interrupted")
		return exitFailed
	case err != nil:
		fmt.Fprintln(stderr, "limited:", err)
		return exitFailed
	}
	return exitOK
}

// options are the flags of all commands.
type options struct {
	Model      string
	Context    int   // tokens of the sequence when the last one was decoded
	Memory     []int // MiB of the cgroup; each size is measured
	Rounds     int
	Steps      int // tokens that are timed in a turn, at most
	Seconds    int // after which a turn ends early, with two tokens at least
	Threads    int
	Dir        string // for K/V and swap
	Swap       int    // MiB of the swap file
	Arms       []string
	Cache      string // ebb's policy
	HostMemory int    // MiB of K/V that ebb may keep in host memory; below 0: what is left of the cgroup
	JSON       string // file for the result

	// Of the command arm.
	Program string
	KVType  string
}

func (o *options) register(flags *pflag.FlagSet) {
	flags.StringVarP(&o.Model, "model", "m", "", "the model, a GGUF `FILE`")
	flags.IntVar(&o.Context, "context", 32768, "`TOKENS` in the cache at the end")
	flags.IntSliceVar(&o.Memory, "memory", []int{300}, "`MiB` of the cgroup; several sizes are measured one after the other")
	flags.IntVar(&o.Rounds, "rounds", 3, "turns of each arm, `N`")
	flags.IntVar(&o.Steps, "steps", 16, "`N` tokens that are timed in a turn, at most")
	flags.IntVar(&o.Seconds, "seconds", 15, "a turn ends after `N`, if it has timed two tokens")
	flags.IntVar(&o.Threads, "threads", 2, "`N` CPU threads of each program")
	flags.StringVar(&o.Dir, "dir", "/var/tmp", "`FOLDER` of ebb's files and the swap file, on a disk")
	flags.IntVar(&o.Swap, "swap", 2048, "`MiB` of the swap file")
	flags.StringSliceVar(&o.Arms, "arms", nil, "measure only these `ARMS` of "+strings.Join(labels(arms()), ", "))
	flags.StringVar(&o.Cache, "cache", "offloaded", "`POLICY` of ebb's cache: offloaded, or auto")
	flags.IntVar(&o.HostMemory, "host-memory", -1, "`MiB` of K/V that ebb keeps in host memory with --cache offloaded; -1 is what weights, slots and ebb itself leave")
	flags.StringVar(&o.JSON, "json", "", "write the result to this `FILE` too")
	flags.StringVar(&o.Program, "program", "", "")
	flags.StringVar(&o.KVType, "kv-type", "", "")
	for _, name := range []string{"program", "kv-type"} { // of the command arm, which nobody writes
		if err := flags.MarkHidden(name); err != nil {
			panic(err) // there is no such flag
		}
	}
}

// validate reports numbers with which nothing can be measured.
func (o *options) validate() error {
	var errs []error
	fault := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(o.Model == "", "say which model to run: -m FILE")
	fault(o.Context < 2*computed, "--context %d: want at least %d", o.Context, 2*computed)
	fault(o.Rounds < 1 || o.Steps < 2 || o.Seconds < 1 || o.Threads < 1 || o.Swap < 1, "--rounds, --seconds, --threads and --swap must be at least 1, --steps 2")
	fault(o.Steps > o.Context/2, "--steps %d: want at most half of the context", o.Steps)
	for _, n := range o.Memory {
		fault(n < 16, "--memory %d: want at least 16 MiB", n)
	}
	if _, err := chosen(o.Arms); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", errMisuse, errors.Join(errs...))
	}
	return nil
}

func (o *options) do(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) error {
	switch command {
	case "measure":
		if err := o.validate(); err != nil {
			return err
		}
		return o.measure(ctx, stdout, stderr)
	case "arm":
		return o.runArm(ctx, stdin, stdout)
	case "clean":
		return clean("/", o.Dir)
	}
	return fmt.Errorf("%w: unknown command %q: want measure, clean or arm", errMisuse, command)
}

// measure sets the machine up, lets the arms take turns, prints the result, and leaves the machine as it
// was.
func (o *options) measure(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("it makes a memory cgroup and a swap file, which only root may do: run it as root")
	}
	if o.Model, err = filepath.Abs(o.Model); err != nil {
		return err
	}
	if _, err := os.Stat(o.Model); err != nil {
		return err
	}
	if err := clean("/", o.Dir); err != nil {
		return fmt.Errorf("an earlier run has left what cannot be removed: %w", err)
	}
	defer func() { err = errors.Join(err, clean("/", o.Dir)) }()
	limits, err := findLimits("/")
	if err != nil {
		return err
	}
	machine, err := setUp(ctx, "/", *o)
	if err != nil {
		return err
	}
	sizes, err := readSizes(o.Model, o.Context)
	if err != nil {
		return err
	}
	report, err := takeTurns(ctx, *o, sizes, limits, machine, stderr)
	if err != nil {
		return err
	}
	report.compare()
	if err := report.write(stdout); err != nil {
		return err
	}
	if o.JSON == "" {
		return nil
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.JSON, append(text, '\n'), 0o666)
}
