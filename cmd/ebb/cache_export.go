package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/session"
)

// exportTypes are the types of K/V that safetensors have.
var exportTypes = []string{"f32", "f16", "bf16"}

func newCacheExportCommand() *cobra.Command {
	var o ebb.ExportOptions
	cmd := &cobra.Command{
		Use:   "export SESSION FILE.safetensors",
		Short: "Write a session's K/V for Hugging Face transformers",
		Long: `Export writes the K/V of a session as safetensors in Hugging Face's legacy layout:
past_key_values.N.key and .value of the shape (1, KV heads, tokens, head dim) for each
layer, with keys in transformers' order of values, and input_ids. It needs no model. The
layout has no place for states: sessions of models with recurrent layers are refused.
docs/tiers.md has the lines of Python that read the file, and those that write one.`,
		Example: `  ebb cache export talk.ebb talk.safetensors
  ebb cache export talk.ebb talk.safetensors --type f32`,
		Args: takes(2, 2, "two arguments, a session and the file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return exportSession(cmd.OutOrStdout(), cmd.ErrOrStderr(), args[0], args[1], o)
		},
	}
	cmd.Flags().Var(&parsed[string]{&o.Type, "", "TYPE", parseExportType}, "type",
		"The type of the exported values: f32, f16 or bf16. (default the session's, and f32 for q8_0 and q4_0)")
	complete(cmd, "type", exportTypes...)
	return cmd
}

func parseExportType(name string) (string, error) {
	if !slices.Contains(exportTypes, name) {
		return "", errors.New("want f32, f16 or bf16")
	}
	return name, nil
}

func exportSession(w, notes io.Writer, path, out string, o ebb.ExportOptions) error {
	if err := isNew(out, "remove it, or name another file"); err != nil {
		return err
	}
	f, err := session.Open(path)
	if err != nil {
		return err
	}
	h := f.Header()
	if err := f.Close(); err != nil {
		return err
	}
	k, v, err := ebb.ExportSession(path, out, o)
	if err != nil {
		return err
	}
	printNotes(notes, conversions([2]string{h.TypeK, h.TypeV}, [2]string{k, v}))
	_, err = fmt.Fprintf(w, "%s  %s, K/V %s/%s, %s\n", out, count(len(h.Tokens), "token"), k, v, h.Architecture)
	return err
}

// isNew reports a file that is there already, and what to do.
func isNew(path, advice string) error {
	switch _, err := os.Lstat(path); {
	case err == nil:
		return fmt.Errorf("%s is there already: %s", path, advice)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// conversions says what became of keys and values of some types.
func conversions(from, to [2]string) (notes []string) {
	for i, what := range []string{"keys", "values"} {
		switch {
		case from[i] == to[i]:
		case session.Exact(from[i], to[i]):
			notes = append(notes, fmt.Sprintf("%s in %s were converted to %s, which has all of their values", what, from[i], to[i]))
		default:
			notes = append(notes, fmt.Sprintf("%s in %s were rounded to the nearest in %s", what, from[i], to[i]))
		}
	}
	return notes
}
