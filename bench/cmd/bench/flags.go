package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb/isa"
)

// instructionSets is a flag of instruction sets' names.
type instructionSets struct{ list *[]isa.ISA }

var _ pflag.Value = (*instructionSets)(nil)

func (s *instructionSets) Type() string { return "SETS" }

func (s *instructionSets) String() string {
	var names []string
	for _, set := range *s.list {
		names = append(names, set.String())
	}
	return strings.Join(names, ",")
}

// Set replaces the instruction sets.
func (s *instructionSets) Set(text string) error {
	*s.list = nil
	for name := range strings.SplitSeq(text, ",") {
		set, err := isa.Parse(name)
		if err != nil {
			return err
		}
		*s.list = append(*s.list, set)
	}
	return nil
}
