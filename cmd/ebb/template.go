package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb/chat/jinja"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/textfile"
)

// templateFlags say which template is rendered, and with what.
type templateFlags struct {
	model   string
	file    string
	context string
}

func newTemplateCommand() *cobra.Command {
	var f templateFlags
	cmd := &cobra.Command{
		Use:   "template (-m MODEL | --file T.jinja) [--context C.json]",
		Short: "Render a chat template with variables from a JSON file",
		Long: `Template renders a model's chat template, or one from a file, with the keys of a JSON
object as its variables, and prints the result with nothing added to it. It is for
people who debug chat templates.

The result is that of Python's jinja2 3.1.6 with the settings of transformers. If the
template uses something that ebb does not support, the command names it and fails; it
never prints anything else than Python would. Variables that transformers adds, as
messages, tools, add_generation_prompt and bos_token, are the JSON object's to give.`,
		Example: `  ebb template -m model.gguf --context conversation.json
  ebb template --file chat_template.jinja --context conversation.json
  echo '{"messages": [{"role": "user", "content": "Hi"}]}' | ebb template -m model.gguf --context -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.model == "" && f.file == "":
				return misusef("no template: name a model with -m, or a template's file with --file")
			case f.model != "" && f.file != "":
				return misusef("the template is given twice, by -m and --file: give one of them")
			case f.file == "-" && f.context == "-":
				return misusef("--file - and --context - both read stdin: only one of them can")
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			text, err := f.render(ctx, cmd)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.model, "model", "m", "", modelHelp)
	flags.StringVar(&f.file, "file", "", "The template's `FILE`; - is stdin.")
	flags.StringVar(&f.context, "context", "", "A `FILE` with a JSON object whose keys are the variables; - is stdin. Without it there are none.")
	return cmd
}

// render returns what the template renders as.
func (f *templateFlags) render(ctx context.Context, cmd *cobra.Command) (string, error) {
	source, name, err := f.source(ctx, cmd)
	if err != nil {
		return "", err
	}
	variables := map[string]jinja.Value{}
	if f.context != "" {
		if variables, err = readVariables(cmd, f.context); err != nil {
			return "", err
		}
	}
	t, err := jinja.Parse(source)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	text, err := t.Render(variables, jinja.Limits{})
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}

// source returns the template, and what it is called in errors.
func (f *templateFlags) source(ctx context.Context, cmd *cobra.Command) (source, name string, err error) {
	if f.file != "" {
		data, err := readInput(cmd, f.file)
		if err != nil {
			return "", "", err
		}
		if !utf8.Valid(data) {
			return "", "", fmt.Errorf("%s: the template is not UTF-8", f.file)
		}
		return string(data), f.file, nil
	}
	path, err := modelFile(ctx, f.model, cmd.ErrOrStderr())
	if err != nil {
		return "", "", err
	}
	file, err := gguf.Open(path)
	if err != nil {
		return "", "", err
	}
	s := summarize(file)
	if err := file.Close(); err != nil {
		return "", "", err
	}
	if s.Template == nil {
		return "", "", fmt.Errorf("%s: the model has no chat template", f.model)
	}
	return *s.Template, f.model + ": chat template", nil
}

// readVariables reads the variables of a template from a file with a JSON object.
func readVariables(cmd *cobra.Command, name string) (map[string]jinja.Value, error) {
	data, err := readInput(cmd, name)
	if err != nil {
		return nil, err
	}
	v, err := jinja.FromJSON(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	object, ok := v.(*jinja.Dict)
	if !ok {
		return nil, fmt.Errorf(`%s: want a JSON object whose keys are the variables, as in {"messages": []}`, name)
	}
	return object.Map(), nil
}

// readInput reads a file, or stdin if the name is "-".
func readInput(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		data, err := io.ReadAll(cmd.InOrStdin())
		return textfile.Decode(data), err
	}
	data, err := textfile.Read(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such file", name)
	}
	return data, err
}
