package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// parsed is a flag whose text is converted to a T when it is set, so that a bad value is a misuse.
type parsed[T any] struct {
	into  *T
	text  string
	kind  string // what help calls the value
	parse func(string) (T, error)
}

var _ pflag.Value = (*parsed[int])(nil)

func (p *parsed[T]) String() string { return p.text }
func (p *parsed[T]) Type() string   { return p.kind }

func (p *parsed[T]) Set(text string) error {
	v, err := p.parse(text)
	if err != nil {
		return err
	}
	*p.into, p.text = v, text
	return nil
}

// refuse registers a flag that no longer exists. Using it is an error that says what to write
// instead.
func refuse(cmd *cobra.Command, flag, instead string) {
	cmd.Flags().Var(&parsed[struct{}]{parse: func(string) (struct{}, error) { return struct{}{}, errors.New(instead) }}, flag, "")
	if err := cmd.Flags().MarkHidden(flag); err != nil {
		panic(err) // there is no such flag
	}
}

// complete makes the shell complete the values of a flag.
func complete(cmd *cobra.Command, flag string, names ...string) {
	// The error is that there is no such flag, or that it was registered before.
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}
