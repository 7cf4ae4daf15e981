package chat

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestHostileTemplatesEndWithErrLimit(t *testing.T) {
	small := limits{source: 10_000, output: 1000, span: 1000, nested: standard.nested, time: 50 * time.Millisecond}
	for name, source := range map[string]string{
		"loops in loops":         `{% for a in range(999) %}{% for b in range(999) %}{% for c in range(999) %}{% endfor %}{% endfor %}{% endfor %}`,
		"loops that only set":    `{% for a in range(999) %}{% for b in range(999) %}{% for c in range(999) %}{% set x = a %}{% endfor %}{% endfor %}{% endfor %}`,
		"a macro that calls":     `{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}`,
		"two macros that call":   `{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}`,
		"a macro as a filter":    `{% macro f(x) %}{{ x|f }}{% endmacro %}{{ 1|f }}`,
		"a block that calls":     `{% set ns = namespace() %}{% macro f() %}{% set ns.c = caller %}{{ caller() }}{% endmacro %}{% call f() %}{{ ns.c() }}{% endcall %}`,
		"a tree of macros":       tree(30),
		"an endless range":       `{{ range(10000000000)|length }}`,
		"a range that overflows": `{{ range(0, 9223372036854775807, 9223372036854775806)|length }}{{ range(-9223372036854775807, 9223372036854775807)|length }}`,
		"much text":              `{% for a in range(999) %}` + strings.Repeat("much ", 100) + `{% endfor %}`,
		"many contents":          `{% for a in range(999) %}{{ messages[0].content }}{% endfor %}`,
		"text in a macro":        `{% macro f() %}` + strings.Repeat("much ", 100) + `{% endmacro %}{% for a in range(999) %}{{ f() }}{% endfor %}`,
		"a long source":          strings.Repeat("x", 10_001),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			tmpl, err := compile(source, Vars{}, small)
			if err == nil {
				_, err = tmpl.Render([]Message{{"user", "How are you?"}}, true)
			}
			if !errors.Is(err, ErrLimit) {
				t.Errorf("error %v, want ErrLimit", err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v, want about %v", d, small.time)
			}
		})
	}
}

// tree is n macros, each of which calls the next twice.
func tree(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{%% macro m%d() %%}{{ m%d() }}{{ m%d() }}{%% endmacro %%}", i, i+1, i+1)
	}
	fmt.Fprintf(&b, "{%% macro m%d() %%}{%% endmacro %%}{{ m0() }}", n)
	return b.String()
}

// Brackets and signs nest in the interpreter's stack; Go ends a process at 1 GB.
func TestDeepNestingDoesNotOverflowTheStack(t *testing.T) {
	const n = 120 << 10
	for name, tc := range map[string]struct {
		source string
		fails  bool
	}{
		"brackets":      {"{{ " + strings.Repeat("(", n/2) + "1" + strings.Repeat(")", n/2) + " }}", false},
		"lists":         {"{{ " + strings.Repeat("[", n/16) + strings.Repeat("]", n/16) + " }}", false},
		"signs":         {"{{ " + strings.Repeat("-", n) + "1 }}", false},
		"members":       {"{{ a" + strings.Repeat(".a", n/2) + " }}", false},
		"ifs":           {strings.Repeat("{%if 1%}", n/20) + strings.Repeat("{%endif%}", n/20), false},
		"open brackets": {"{{ " + strings.Repeat("(", n) + " }}", true},
		"calls":         {"{% macro f() %}{{ " + strings.Repeat("-", n) + "f() }}{% endmacro %}{{ f() }}", true},
	} {
		t.Run(name, func(t *testing.T) {
			tmpl, err := New(tc.source, Vars{})
			if err == nil {
				_, err = tmpl.Render([]Message{{"user", "Hi"}}, true)
			}
			if (err != nil) != tc.fails {
				t.Errorf("error %.200v; want one: %t", err, tc.fails)
			}
		})
	}
}

func TestPanicsOfTheInterpreterAreErrors(t *testing.T) {
	tmpl, err := New(`{{ 'ab' * 9223372036854775807 }}`, Vars{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tmpl.Render([]Message{{"user", "Hi"}}, true); err == nil || !strings.HasPrefix(err.Error(), "chat: render template: ") {
		t.Errorf("%q, %v; want an error", got, err)
	}
}

// Python repeats a string less than once as the empty string.
func TestNegativeRepetitionIsEmpty(t *testing.T) {
	tmpl, err := New(`<{{ 'a' * -1 }}>`, Vars{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tmpl.Render([]Message{{"user", "Hi"}}, true); err != nil || got != "<>" {
		t.Errorf("%q, %v; want <>", got, err)
	}
}

// FuzzNew compiles what it is given; what compiles may not be safe to render
// (see the package comment).
func FuzzNew(f *testing.F) {
	for _, seed := range []string{
		chatML, "{%- for m in messages -%} {{- m.content -}} {%- endfor -%}", "{% raw %}{{{% endraw %}", "{{ {'a': {}} }}",
		"{% macro f(x='}}') %}{{ x }}{% endmacro %}", "{# #}{%+ if x +%}{% endif %}", `{{ "\"" ~ '\'' }}`, "{{ [(}]) }}", "{%", "{{-", "\r\n{%%}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		tmpl, err := New(source, Vars{})
		if (tmpl == nil) != (err != nil) {
			t.Errorf("template %v with error %v", tmpl, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "chat: ") {
			t.Errorf("error %q does not say that it is about a chat template", err)
		}
	})
}
