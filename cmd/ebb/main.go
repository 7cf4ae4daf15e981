// Command ebb runs language models whose KV cache lives off the device.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb/internal/memory"
)

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // the command could not do what was asked
	exitMisuse = 2 // what was asked makes no sense: an unknown flag, a bad value, flags that contradict each other
)

// collectAt is by how many percent Go's heap grows until garbage is collected: less than the usual
// 100, because generating makes hardly any garbage, and a heap of a few megabytes is collected in
// less than a millisecond.
const collectAt = 40

func main() {
	memory.Settle() // before threads have heaps of their own
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// execute runs the command line and returns the exit status.
func execute(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := newRootCommand()
	cmd.SetArgs(joinOptional(args, "--"+cpuExpertsFlag))
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	ran, err := cmd.ExecuteContextC(context.Background())
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "ebb: "+plain(err))
	if misuse := (misuseError{}); errors.As(err, &misuse) {
		fmt.Fprintf(stderr, "See '%s --help'.\n", ran.CommandPath())
		return exitMisuse
	}
	return exitFailed
}

// packageName matches the name of a package in front of what the package says: at the beginning of
// an error or of an error that it wraps. It means nothing to a user of the command.
var packageName = regexp.MustCompile(
	`(?m)(^|: )(attend|blockfile|chat|conversation|devicemap|ebb|exec|generate|generation|ggml|gguf|grammar|hub|isa|jsonschema|kv|model|plan|product|recordfile|rehearsal|responses|sample|server|service|session|stack|tier|tokenizer): `)

// plain returns an error's text without the names of the packages that it comes from.
func plain(err error) string {
	text := err.Error()
	for {
		short := packageName.ReplaceAllString(text, "$1")
		if short == text {
			return text
		}
		text = short
	}
}

// flagError says what is wrong with a flag, in one sentence.
func flagError(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return misuseError{err}
	}
	want := plain(invalid.Unwrap())
	if invalid.GetFlag().Value.Type() == "duration" {
		want = "want a time with its unit, as in 30s or 5m"
	}
	if number, ok := errors.AsType[*strconv.NumError](err); ok {
		switch {
		case number.Func == "ParseBool":
			want = "want true or false"
		case errors.Is(number, strconv.ErrRange):
			want = "the number is too large"
		default:
			want = "want a whole number"
		}
	}
	if invalid.GetValue() == "" {
		return misusef("--%s is empty: %s", invalid.GetFlag().Name, want)
	}
	return misusef("--%s %s: %s", invalid.GetFlag().Name, invalid.GetValue(), want)
}

// misuseError reports a mistake in the command line. Its exit status is exitMisuse.
type misuseError struct{ error }

func (e misuseError) Unwrap() error { return e.error }

func misusef(format string, args ...any) error {
	return misuseError{fmt.Errorf(format, args...)}
}

func newRootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ebb COMMAND",
		Version: versions(),
		Short:   "Run language models whose KV cache lives off the device",
		Long: `ebb runs language models (GGUF files) whose KV cache does not fit where the model
computes: the cache lives in host memory, and one layer at a time visits the device.
The text is that of a cache that was never moved.

Data goes to stdout, everything else to stderr. The exit status is 0, or 1 if the
command failed, or 2 if it was misused.`,
		Example: `  ebb run -m model.gguf "Why is the sky blue?"
  ebb run -m model.gguf --cache offloaded --kv-memory 512MiB -f question.txt
  ebb chat -m model.gguf
  ebb serve -m model.gguf
  ebb inspect model.gguf`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := ""
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf(": did you mean %s?", strings.Join(near, " or "))
			}
			return misusef("unknown command %q%s", args[0], hint)
		},
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetUsageTemplate(strings.NewReplacer(
		// A command that is shown as COMMAND needs no second line of usage.
		"{{if .HasAvailableSubCommands}}\n  {{.CommandPath}}", "{{if and .HasAvailableSubCommands (not .Runnable)}}\n  {{.CommandPath}}",
		"Flags.FlagUsages |", fmt.Sprintf("Flags.FlagUsagesWrapped %d |", width(os.Stdout)),
	).Replace(cmd.UsageTemplate()))
	cobra.EnableCommandSorting = false // what is needed first comes first
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	cmd.AddCommand(newRunCommand(), newChatCommand(), newServeCommand(), newPlanCommand(), newInspectCommand(), newDoctorCommand(), newBenchCommand(), newCacheCommand(), newTemplateCommand(), newVersionCommand())
	return cmd
}

// takes makes any number of arguments a misuse but those from least to most, and says what they are.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || n > most {
			return misusef("%s takes %s, and %d were given", cmd.Name(), what, n)
		}
		return nil
	}
}

// noArguments makes an argument a misuse.
func noArguments(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.Flags().Lookup("model") != nil:
		return misusef("%s takes no argument, and %q was given: a model is named with -m FILE", cmd.CommandPath(), args[0])
	}
	return misusef("%s takes no argument, and %q was given", cmd.CommandPath(), args[0])
}

// arguments makes a wrong number of arguments a misuse.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return misuseError{err}
		}
		return nil
	}
}
