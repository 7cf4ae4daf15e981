package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb/ggml"
)

// version is set by the linker: -X main.version=v1.2.3.
var version string

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the versions of ebb and of what it is built with",
		Long:    "Version prints the version of ebb, of Go, and of the ggml libraries that it is made for.",
		Example: "  ebb version",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versions())
			return err
		},
	}
}

// versions says which version of ebb this is and what it is built with.
func versions() string {
	return fmt.Sprintf("ebb %s (%s %s/%s, for ggml %s)", buildVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH, ggml.Version)
}

// buildVersion returns the linker's version, or else the module's.
func buildVersion() string {
	if version != "" {
		return version
	}
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
		return build.Main.Version
	}
	return "(devel)"
}
