package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// The headings under which --help lists flags.
const (
	groupMemory      = "Memory"
	groupDevices     = "Model and devices"
	groupPrompt      = "Prompt"
	groupLength      = "Length"
	groupSampling    = "Sampling"
	groupBeams       = "Beam search"
	groupScores      = "Repetitions, and tokens that are wanted or not"
	groupConstraints = "Grammars"
	groupLookup      = "Speculation"
	groupOutput      = "Output"
	groupServer      = "Server"
	groupDebug       = "For developers" // hidden; --help-debug lists them
)

const groupAnnotation = "group"

// group registers flags under a heading of --help.
func group(cmd *cobra.Command, heading string, register func(flags *pflag.FlagSet)) {
	flags := pflag.NewFlagSet(heading, pflag.ContinueOnError)
	flags.SortFlags = false
	register(flags)
	flags.VisitAll(func(f *pflag.Flag) {
		f.Annotations = map[string][]string{groupAnnotation: {heading}}
		f.Hidden = heading == groupDebug
	})
	cmd.Flags().AddFlagSet(flags)
}

// listByGroup makes --help list the flags of a command under headings, in this order; those without
// one come last. It adds --help-debug, which lists the flags for developers.
func listByGroup(cmd *cobra.Command, helpDebug *bool, headings ...string) {
	cmd.Flags().SortFlags = false
	cmd.Flags().BoolP("help", "h", false, "Show this help.")
	cmd.Flags().BoolVar(helpDebug, "help-debug", false, "List the flags for developers.")
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		w := cmd.OutOrStderr()
		fmt.Fprintf(w, "Usage:\n  %s\n", cmd.UseLine())
		for _, heading := range append(slices.Clone(headings), "") {
			if flags := inGroup(cmd, heading); flags.HasAvailableFlags() {
				if heading == "" {
					heading = "Other flags"
				}
				fmt.Fprintf(w, "\n%s:\n%s", heading, flags.FlagUsagesWrapped(width(w)))
			}
		}
		_, err := fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
		return err
	})
}

// inGroup returns the flags under a heading.
func inGroup(cmd *cobra.Command, heading string) *pflag.FlagSet {
	flags := pflag.NewFlagSet(heading, pflag.ContinueOnError)
	flags.SortFlags = false
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		own := ""
		if a := f.Annotations[groupAnnotation]; len(a) > 0 {
			own = a[0]
		}
		if own == heading {
			flags.AddFlag(f)
		}
	})
	return flags
}

// printDebugFlags prints the flags that --help hides.
func printDebugFlags(cmd *cobra.Command) error {
	flags := inGroup(cmd, groupDebug)
	flags.VisitAll(func(f *pflag.Flag) { f.Hidden = false })
	w := cmd.OutOrStdout()
	_, err := fmt.Fprintf(w, "%s:\n%s", groupDebug, flags.FlagUsagesWrapped(width(w)))
	return err
}

// width returns how many columns help has: those of the terminal, within reason.
func width(w any) int {
	const columns = 100
	if file, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(file.Fd())); err == nil {
			return min(max(n, 60), 120)
		}
	}
	return columns
}
