package jinja

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testCase is a template, or an expression that is printed, and what Python's jinja2 makes of it.
type testCase struct {
	Template string
	Expr     *string
	Context  json.RawMessage // the variables
	Want     *string         // nil if Python raises Error
	Error    string
}

func (tc testCase) source() string {
	if tc.Expr != nil {
		return "{{ " + *tc.Expr + " }}"
	}
	return tc.Template
}

func readCases(t testing.TB, name string) []testCase {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []testCase
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	context := json.RawMessage("{}")
	for n := 1; lines.Scan(); n++ {
		var tc testCase
		if err := json.Unmarshal(lines.Bytes(), &tc); err != nil {
			t.Fatalf("%s:%d: %v", name, n, err)
		}
		if tc.Context != nil { // else it is that of the line before
			context = tc.Context
		}
		tc.Context = context
		cases = append(cases, tc)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(cases) == 0 {
		t.Fatalf("%s: no cases", name)
	}
	return cases
}

// renderJSON renders a template with the variables of a JSON object.
func renderJSON(source string, variables []byte, limits Limits) (string, error) {
	v, err := FromJSON(variables)
	if err != nil {
		return "", err
	}
	tmpl, err := Parse(source)
	if err != nil {
		return "", err
	}
	return tmpl.Render(v.(*Dict).Map(), limits)
}

// Python's jinja2 3.1.6 with transformers' settings wrote the files. A case is equal, or is refused
// with an error that names what is not supported. The number of refusals may only fall.
func TestTemplatesRenderAsInPython(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	refusals := map[string]int{"cases.jsonl": 3, "more.jsonl": 20}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			equal, refused := 0, 0
			cases := readCases(t, name)
			for _, tc := range cases {
				got, err := renderJSON(tc.source(), tc.Context, Limits{})
				switch {
				case tc.Want == nil && err != nil:
					equal++
				case errors.Is(err, ErrUnsupported):
					refused++
					t.Logf("%q is refused: %v", tc.source(), err)
					if !strings.Contains(err.Error(), "is not supported") {
						t.Errorf("%q: error %q does not say what is not supported", tc.source(), err)
					}
				case tc.Want == nil:
					t.Errorf("%q renders as %q; Python raises %s", tc.source(), got, tc.Error)
				case err != nil:
					t.Errorf("%q: error %v; want %q", tc.source(), err, *tc.Want)
				case got != *tc.Want:
					t.Errorf("%q renders as %q; want %q", tc.source(), got, *tc.Want)
				default:
					equal++
				}
			}
			t.Logf("of %d cases %d are equal and %d are refused", len(cases), equal, refused)
			if most := refusals[filepath.Base(name)]; refused > most {
				t.Errorf("%d cases are refused; want at most %d", refused, most)
			}
		})
	}
}
