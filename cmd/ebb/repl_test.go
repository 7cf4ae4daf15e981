package main

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
)

// typing is a repl of a person who types lines and Ctrl-C.
func typing() (r repl, lines chan inputLine, notes *strings.Builder) {
	lines, notes = make(chan inputLine), &strings.Builder{}
	return repl{in: lines, interrupts: make(chan os.Signal), notes: notes, person: true}, lines, notes
}

func TestCtrlCAtThePromptDropsWhatWasTyped(t *testing.T) {
	r, lines, notes := typing()
	go func() {
		lines <- inputLine{text: `half \`}
		r.interrupts <- os.Interrupt
		lines <- inputLine{text: "whole"}
	}()
	if text, err := r.read(); text != "whole" || err != nil {
		t.Errorf("read %q, error %v; want %q", text, err, "whole")
	}
	const want = "> . \nebb: Ctrl-C again ends the chat, as Ctrl-D and /exit do\n> "
	if notes.String() != want {
		t.Errorf("printed %q, want %q", notes.String(), want)
	}
}

func TestCtrlCTwiceAtThePromptEndsTheChat(t *testing.T) {
	r, _, _ := typing()
	go func() {
		r.interrupts <- os.Interrupt
		r.interrupts <- os.Interrupt
	}()
	if _, err := r.read(); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want %v", err, io.EOF)
	}
}

func TestASignalEndsAChatThatNobodyTypes(t *testing.T) {
	for _, person := range []bool{true, false} {
		for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			if person && s == os.Interrupt {
				continue
			}
			r, _, _ := typing()
			r.person = person
			go func() { r.interrupts <- s }()
			if _, err := r.read(); err == nil || err.Error() != "interrupted" {
				t.Errorf("%v with person %v: error %v, want interrupted", s, person, err)
			}
		}
	}
}

func TestLinesEndWithTheInput(t *testing.T) {
	r := repl{in: readLines(strings.NewReader("one\ntwo \\\nthree\r\nfour")), interrupts: make(chan os.Signal)}
	for _, want := range []string{"one", "two \nthree", "four"} {
		if got, err := r.read(); got != want || err != nil {
			t.Errorf("got %q, error %v; want %q", got, err, want)
		}
	}
	for range 2 {
		if _, err := r.read(); !errors.Is(err, io.EOF) {
			t.Errorf("error %v, want %v", err, io.EOF)
		}
	}
}
