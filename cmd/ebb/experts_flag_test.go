package main

import (
	"slices"
	"testing"
)

func TestAFlagWhoseValueMayBeLeftOutTakesANumberBehindIt(t *testing.T) {
	for _, tt := range []struct{ args, want []string }{
		{[]string{"run", "--cpu-experts", "12", "5"}, []string{"run", "--cpu-experts=12", "5"}},
		{[]string{"run", "--cpu-experts", "-1"}, []string{"run", "--cpu-experts=-1"}},
		{[]string{"run", "--cpu-experts", "All"}, []string{"run", "--cpu-experts=all"}},
		{[]string{"run", "--cpu-experts", "hi"}, []string{"run", "--cpu-experts", "hi"}},
		{[]string{"run", "--cpu-experts=3", "4"}, []string{"run", "--cpu-experts=3", "4"}},
		{[]string{"run", "--cpu-experts", "--", "4"}, []string{"run", "--cpu-experts", "--", "4"}},
		{[]string{"run", "--", "--cpu-experts", "4"}, []string{"run", "--", "--cpu-experts", "4"}},
		{[]string{"run", "--cpu-experts"}, []string{"run", "--cpu-experts"}},
	} {
		if got := joinOptional(tt.args, "--cpu-experts"); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.args, got, tt.want)
		}
	}
}
