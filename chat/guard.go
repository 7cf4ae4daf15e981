package chat

import (
	"fmt"
	"strings"
)

// Names of the functions of a watch that guard writes into a template.
const (
	nameTick  = "ebb_tick"  // a turn of a loop begins
	nameEnter = "ebb_enter" // the body of a macro or call block begins
	nameLeave = "ebb_leave" // and ends
	namePrint = "ebb_print" // something is printed
)

// guard rewrites a template so that its white space is settled (see lex) and it
// calls a watch wherever it repeats, calls or prints. All text becomes printed
// strings, so the interpreter finds none to trim; lines keep their numbers.
func guard(source string) (string, error) {
	segments, err := lex(source)
	if err != nil {
		return "", err
	}
	w := writer{line: 1}
	for _, s := range segments {
		if s.line > w.line {
			w.write("{#" + strings.Repeat("\n", s.line-w.line) + "#}")
		}
		switch s.kind {
		case text:
			w.print(quote(s.body))
		case printed:
			if strings.TrimSpace(s.body) == "" {
				return "", fmt.Errorf("chat: template: line %d: nothing to print in {{ }}", s.line)
			}
			w.print("(" + s.body + ")")
		case statement:
			switch keyword(s.body) {
			case "for":
				w.statement(s.body)
				w.call(nameTick)
			case "macro":
				// A default is computed before the body, where nothing watches.
				if _, params, _ := strings.Cut(s.body, "("); strings.ContainsAny(params, "(|") {
					return "", fmt.Errorf("chat: template: line %d: the default of a macro's parameter must be a constant", s.line)
				}
				w.statement(s.body)
				w.call(nameEnter)
			case "call":
				w.statement(s.body)
				w.call(nameEnter)
			case "endmacro", "endcall":
				w.call(nameLeave)
				w.statement(s.body)
			default:
				w.statement(s.body)
			}
		}
	}
	return w.String(), nil
}

// writer writes a template and counts its lines.
type writer struct {
	strings.Builder
	line int
}

func (w *writer) write(s string) {
	w.WriteString(s)
	w.line += strings.Count(s, "\n")
}

func (w *writer) statement(body string) { w.write("{% " + body + " %}") }

func (w *writer) call(name string) { w.statement("set ebb_ = " + name + "()") }

// print writes an expression in brackets, or a string. The interpreter takes "}}"
// for the end of the tag even within brackets.
func (w *writer) print(expression string) {
	w.write("{{ " + namePrint + "(" + spread(expression) + ") }}")
}

// spread puts a space between closing braces that are not quoted.
func spread(s string) string {
	if !strings.Contains(s, "}}") {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		end := i + 1
		if s[i] == '\'' || s[i] == '"' {
			end = min(quoteEnd(s, i)+1, len(s))
		}
		out.WriteString(s[i:end])
		if s[i] == '}' {
			out.WriteByte(' ')
		}
		i = end - 1
	}
	return out.String()
}

// quote makes a string of the template language that stands for s.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
