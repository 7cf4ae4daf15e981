package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/isa"
)

// names is a flag of a list of values that have names.
type names[T fmt.Stringer] struct {
	list  *[]T
	parse func(name string) (T, error)
	typ   string
}

var (
	_ pflag.Value = (*names[isa.ISA])(nil)
	_ pflag.Value = (*names[attend.Kind])(nil)
)

func (n *names[T]) Type() string { return n.typ }

func (n *names[T]) String() string {
	var all []string
	for _, x := range *n.list {
		all = append(all, x.String())
	}
	return strings.Join(all, ",")
}

// Set replaces the list.
func (n *names[T]) Set(text string) error {
	*n.list = nil
	for name := range strings.SplitSeq(text, ",") {
		x, err := n.parse(name)
		if err != nil {
			return err
		}
		*n.list = append(*n.list, x)
	}
	return nil
}
