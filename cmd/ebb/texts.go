package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/seed4d217819/ebb"
)

// printTexts prints the texts of an answer: one as it is, several with numbers and scores. printed
// says that the first one was printed before, but for the end of its last line.
func printTexts(w io.Writer, a *answer, spell spelling, printed, explain bool) error {
	var out strings.Builder
	for i, s := range a.sequences {
		if len(a.sequences) > 1 {
			if i > 0 {
				out.WriteByte('\n')
			}
			fmt.Fprintf(&out, "[%d] score %.4f\n", i+1, s.Score)
		}
		text := &answerWriter{w: &out}
		if printed {
			text = a.shown
		} else if err := text.message(a.message(i)); err != nil {
			return err
		}
		if err := text.end(); err != nil {
			return err
		}
		if explain {
			explainSteps(&out, s, spell)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// explainSteps prints the likeliest tokens of each step and the one that was chosen.
func explainSteps(w io.Writer, s ebb.Completion, spell spelling) {
	if len(s.Tokens) > 0 {
		fmt.Fprintf(w, "\nstep  %-16s  candidates\n", "chosen")
	}
	for i, t := range s.Tokens {
		var likely []string
		for _, c := range t.Top {
			likely = append(likely, fmt.Sprintf("%q %.2f%%", spell(c.ID), 100*math.Exp(c.LogProb)))
		}
		fmt.Fprintf(w, "%4d  %-16s  %s\n", i+1, strconv.Quote(spell(t.ID)), strings.Join(likely, "  "))
	}
}
