package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// importFlags are the flags of ebb cache import.
type importFlags struct {
	model string
	row   int
	into  ebb.ImportSessionOptions
}

func newCacheImportCommand() *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE.safetensors SESSION",
		Short: "Make a session of K/V from Hugging Face transformers",
		Long: `Import makes a session of safetensors in Hugging Face's legacy layout, as ebb cache
export writes them: past_key_values.N.key and .value of the shape (batch, KV heads,
tokens, head dim), and input_ids. Only the model's header is read, and its file once for
its digest; a file that ebb has exported says itself which model it belongs to. The K/V
of transformers must be of the same weights: a model in f32 or f16 and the GGUF file
that it was converted to. docs/tiers.md has the lines of Python that write such a file.`,
		Example: `  ebb cache import talk.safetensors talk.ebb -m model.gguf
  ebb run -m model.gguf --session talk.ebb "…"`,
		Args: takes(2, 2, "two arguments, a file of safetensors and the session to write"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], args[1]) },
	}
	cmd.Flags().StringVarP(&f.model, "model", "m", "", modelHelp+" (default the one that the file was exported with)")
	cmd.Flags().Var(&parsed[string]{&f.into.KVType, "", "TYPE", parseKVType}, "kv-type",
		"Convert K/V to this type: f32, f16, bf16, q8_0 or q4_0. (default the file's)")
	cmd.Flags().IntVar(&f.row, "row", 0, "Which sequence of the file's batch to take, `N` from 0.")
	complete(cmd, "kv-type", kv.TypeNames()...)
	if err := cmd.MarkFlagFilename("model", "gguf"); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

func (f *importFlags) run(cmd *cobra.Command, path, to string) (err error) {
	if err := isNew(to, "remove it with ebb cache rm, or name another file"); err != nil {
		return err
	}
	ctx, stop := interruptible(cmd.Context())
	defer stop()
	if f.model != "" {
		if f.into.Model, err = modelFile(ctx, f.model, cmd.ErrOrStderr()); err != nil {
			return err
		}
	}
	if cmd.Flags().Changed("row") {
		f.into.Row = &f.row
	}
	done, err := ebb.ImportSession(path, to, f.into)
	if err != nil {
		return importError(err)
	}
	printNotes(cmd.ErrOrStderr(), append(conversions(done.Types, done.Kept), f.advice(done)...))
	return printImported(cmd.OutOrStdout(), to, done)
}

// importError adds the flag that helps.
func importError(err error) error {
	for _, e := range []struct {
		of     error
		advice string
	}{
		{ebb.ErrChooseRow, "choose one with --row N"},
		{ebb.ErrChooseModel, "name the model with -m"},
		{ebb.ErrChooseType, "choose one with --kv-type"},
	} {
		if errors.Is(err, e.of) {
			return fmt.Errorf("%w; %s", err, e.advice)
		}
	}
	return err
}

// advice says with which flag the session can be used, where it is not the default.
func (f *importFlags) advice(done ebb.Imported) []string {
	if k := done.Kept[0]; k != "f16" {
		return []string{fmt.Sprintf("go on with --kv-type %s", k)}
	}
	return nil
}

func printImported(w io.Writer, to string, done ebb.Imported) error {
	_, err := fmt.Fprintf(w, "%s  %s, K/V %s/%s\n", to, count(done.Tokens, "token"), done.Kept[0], done.Kept[1])
	return err
}
