// Command bench measures ebb against llama.cpp, against memory and against a link's bandwidth, with
// all workloads:
//
//	bench -m model.gguf [flags]
//
// `make bench ARGS='…'` builds and runs it. It prints the report as a table and its curves as text.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/bench"
	"github.com/seed4d217819/ebb/bench/families"
	"github.com/seed4d217819/ebb/bench/plot"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/isa"
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
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run runs the command line and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := bench.Options{}
	c := measure.Command{Options: &o.Options, Workloads: o.Workloads()}
	flags := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "bench measures, with fixed tokens:\n\n%s\nFlags:\n%s", c.Help(), flags.FlagUsages())
	}
	flags.StringVarP(&o.Model, "model", "m", "", "the model, a GGUF `FILE`")
	c.Register(flags)
	flags.IntVar(&o.BeamDepth, "beam-depth", 0, "tokens in the cache, for beams (default 4096, or half the context)")
	flags.StringVar(&o.Peer, "peer", "", "what to compare with: "+bench.PeerLlama+", from the same libraries (default nothing)")
	flags.StringVar(&o.PeerBench, "peer-bench", "", "another engine to compare with on the CPU: the `PATH` of its llama-bench")
	flags.Var(&names[isa.ISA]{&o.ISAs, isa.Parse, "SETS"}, "isas", "instruction sets of ebb's kernels that take turns: some of "+strings.Join(isa.Names(), ", ")+" (default the one that EBB_ISA names)")
	flags.Var(&names[attend.Kind]{&o.Attentions, attend.ParseKind, "KINDS"}, "attentions", "ways to compute attention that take turns, as in auto,tiles (default auto)")
	flags.StringSliceVar(&o.Families, "families", nil, "which `FAMILIES` to measure, for workloads with models of their own: some of "+strings.Join(families.Names(), ", ")+" (default: families all that are not whole models, others see above)")
	flags.IntSliceVar(&o.Sequences, "sequences", nil, "how many sequences are decoded together, for sequences (default 1,2,4,8)")
	plots := flags.String("plots", "", "draw curves and timelines as SVG files into `FOLDER`")

	switch err := flags.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return exitMisuse
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "bench: unexpected argument %q\n", flags.Arg(0))
		return exitMisuse
	}
	if err := o.Validate(); err != nil {
		fmt.Fprintln(stderr, err)
		return exitMisuse
	}
	o.Version = version
	o.Prepare()
	if err := measureAndDraw(ctx, &c, *plots, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailed
	}
	return exitOK
}

// measureAndDraw runs the workloads, and draws their curves and timelines.
func measureAndDraw(ctx context.Context, c *measure.Command, plots string, stdout, stderr io.Writer) error {
	if err := makeFolder(plots); err != nil {
		return err
	}
	var err error
	if c.Options.Model, err = firstPart(c.Options.Model); err != nil {
		return err
	}
	report, err := c.Run(ctx, stdout, stderr)
	if report == nil {
		return err
	}
	return errors.Join(draw(stdout, plots, report), err)
}

// firstPart returns the first file of a model that may be split into several, which llama.cpp
// wants; "" for "".
func firstPart(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := gguf.Open(path)
	if err != nil {
		return "", err
	}
	return f.Parts()[0].Path, f.Close()
}

// draw prints the curves, and writes files into a folder if it has a name.
func draw(w io.Writer, plots string, report *measure.Report) error {
	for _, c := range report.Curves {
		fmt.Fprintln(w)
		if err := plot.WriteText(w, c); err != nil {
			return err
		}
	}
	if plots == "" {
		return nil
	}
	files, err := plot.WriteFiles(plots, report)
	for _, name := range files {
		fmt.Fprintln(w, name)
	}
	return err
}

// makeFolder creates a folder unless it exists, and checks that files can be written into it.
func makeFolder(name string) error {
	if name == "" {
		return nil
	}
	if err := os.MkdirAll(name, 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(name, ".bench-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
