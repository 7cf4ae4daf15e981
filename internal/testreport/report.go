package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// event is a line of go test -json, as go doc test2json and go help buildjson describe it.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64
	Key     string // of an attribute that a test gives itself
	Value   string
}

// test is what is known about a test, or about a package's output outside its tests.
type test struct {
	name   string
	action string // pass, fail or skip; empty while it runs
	output strings.Builder
	parent bool // it has subtests
}

// report gathers the events of a run of go test and prints those that are worth reading.
type report struct {
	w       io.Writer
	require bool // a skip is a failure

	running map[string]map[string]*test // the tests of the packages that have not ended, by package and name
	order   map[string][]*test          // the same tests, in the order in which they began

	passed, failed int
	skips          map[string][]string // the skipped tests, by reason
}

func newReport(w io.Writer, require bool) *report {
	return &report{
		w: w, require: require,
		running: map[string]map[string]*test{},
		order:   map[string][]*test{},
		skips:   map[string][]string{},
	}
}

// read reads the events of one run. A line that is not an event (a program under test printed it
// past the test's own output) is printed unchanged.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &e) == nil {
				r.add(e)
			} else {
				fmt.Fprint(r.w, string(line))
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading go test's output: %w", err)
		}
	}
}

func (r *report) add(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.w, e.Output)
	case "output":
		r.test(e).output.WriteString(e.Output)
	case "attr": // what a test says of the machine
		fmt.Fprintf(r.w, "     %s: %s: %s\n", e.Package, e.Key, e.Value)
	case "run":
		r.test(e)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
			return
		}
		t := r.test(e)
		t.action = e.Action
		if t.action == "fail" {
			fmt.Fprint(r.w, t.output.String())
			t.output.Reset()
		}
	}
}

// test returns the test that an event is about. The event may be the first about that test.
func (r *report) test(e event) *test {
	tests := r.running[e.Package]
	if tests == nil {
		tests = map[string]*test{}
		r.running[e.Package] = tests
	}
	t := tests[e.Test]
	if t == nil {
		t = &test{name: e.Test}
		tests[e.Test] = t
		r.order[e.Package] = append(r.order[e.Package], t)
		if i := strings.LastIndexByte(e.Test, '/'); i >= 0 && tests[e.Test[:i]] != nil {
			tests[e.Test[:i]].parent = true
		}
	}
	return t
}

// endPackage prints the line of a package that has ended, counts its tests and forgets them.
func (r *report) endPackage(e event) {
	tests := r.order[e.Package]
	delete(r.running, e.Package)
	delete(r.order, e.Package)

	failed := 0
	var own string // the package's output outside its tests
	for _, t := range tests {
		if t.name == "" {
			own = t.output.String()
			continue
		}
		switch {
		case t.action == "":
			// The package died, or ran out of time, while this test ran: its output is the only
			// trace.
			fmt.Fprint(r.w, t.output.String())
			if !t.parent {
				failed++
			}
		case t.action == "skip":
			why := reason(t.output.String())
			r.skips[why] = append(r.skips[why], e.Package+"."+t.name)
		case t.parent:
		case t.action == "fail":
			failed++
		default:
			r.passed++
		}
	}
	if e.Action == "fail" {
		failed = max(failed, 1) // it did not build, or failed outside its tests, or only in a test with subtests
		fmt.Fprint(r.w, own)
	} else if ran := len(tests) - 1; ran > 0 {
		fmt.Fprintf(r.w, "ok   %s  %.1fs\n", e.Package, e.Elapsed)
	}
	r.failed += failed
}

// position is what testing puts before a test's message.
var position = regexp.MustCompile(`^\s*[\w.]+\.go:\d+: `)

// reason returns why a test says that it was skipped: its last message.
func reason(output string) string {
	var why []string
	for line := range strings.Lines(output) {
		switch trimmed := strings.TrimSpace(line); {
		case trimmed == "", strings.HasPrefix(trimmed, "=== "), strings.HasPrefix(trimmed, "--- "):
		case position.MatchString(line):
			why = []string{strings.TrimSpace(position.ReplaceAllString(line, ""))}
		default:
			why = append(why, trimmed)
		}
	}
	if len(why) == 0 {
		return "no reason given"
	}
	return strings.Join(why, " ")
}

// excused reports whether a skip for this reason is right on a machine that can run everything.
func excused(reason string) bool {
	return strings.Contains(reason, "EBB_TEST_ALL") || strings.HasPrefix(reason, "cpu:")
}

// sum prints the skips and the closing line. It reports whether nothing failed. goFailed says that
// go test failed, perhaps for a reason that no event reported (a package pattern that matches
// nothing).
func (r *report) sum(goFailed bool) bool {
	// go test was stopped before these packages ended: their output is the only trace.
	for _, name := range slices.Sorted(maps.Keys(r.order)) {
		r.endPackage(event{Action: "fail", Package: name})
	}
	skipped := 0
	for _, why := range slices.Sorted(maps.Keys(r.skips)) {
		tests := r.skips[why]
		heading := "skipped"
		if r.require && !excused(why) {
			heading = "FAIL: skipped, though EBB_REQUIRE=all,"
			r.failed += len(tests)
		} else {
			skipped += len(tests)
		}
		fmt.Fprintf(r.w, "\n%s %d: %s\n", heading, len(tests), why)
		for _, name := range tests {
			fmt.Fprintf(r.w, "    %s\n", name)
		}
	}
	if goFailed {
		r.failed = max(r.failed, 1)
	}
	fmt.Fprintf(r.w, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, skipped)
	return r.failed == 0
}
