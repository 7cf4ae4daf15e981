package chat

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed4d217819/ebb/chat/jinja"
)

func TestHostileTemplatesEndWithErrLimit(t *testing.T) {
	small := jinja.Limits{Output: 1000, Time: 50 * time.Millisecond, Memory: 32 << 20}
	for name, source := range map[string]string{
		"loops in loops":         `{% for a in range(999) %}{% for b in range(999) %}{% for c in range(999) %}{% endfor %}{% endfor %}{% endfor %}`,
		"loops that only set":    `{% for a in range(999) %}{% for b in range(999) %}{% for c in range(999) %}{% set x = a %}{% endfor %}{% endfor %}{% endfor %}`,
		"a macro that calls":     `{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}`,
		"two macros that call":   `{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}`,
		"a block that calls":     `{% set ns = namespace() %}{% macro f() %}{% set ns.c = caller %}{{ caller() }}{% endmacro %}{% call f() %}{{ ns.c() }}{% endcall %}`,
		"a tree of macros":       tree(30),
		"an endless range":       `{{ range(10000000000)|length }}`,
		"a range that overflows": `{{ range(0, 9223372036854775807, 9223372036854775806)|length }}{{ range(-9223372036854775807, 9223372036854775807)|length }}`,
		"much text":              `{% for a in range(999) %}` + strings.Repeat("much ", 100) + `{% endfor %}`,
		"many contents":          `{% for a in range(999) %}{{ messages[0].content }}{% endfor %}`,
		"text in a macro":        `{% macro f() %}` + strings.Repeat("much ", 100) + `{% endmacro %}{% for a in range(999) %}{{ f() }}{% endfor %}`,
		"a long string":          `{{ 'x' * 10**10 }}`,
		"a longer string":        `{{ 'x' * 10**100 }}`,
		"a long list":            `{{ [1] * 10**10 }}`,
		"a wide indent":          `{{ 'a\nb'|indent(10**10) }}`,
		"a wide format":          `{{ '%1000000000d' % 1 }}`,
		"another wide format":    `{{ '{:1000000000}'.format(1) }}`,
		"a wide string":          `{{ 'x'.center(10**10) }}`,
		"a wide JSON":            `{{ [[1]]|tojson(indent=10**10) }}`,
		"a long batch":           `{{ [1]|batch(10**10, 'x')|list }}`,
		"many slices":            `{{ [1]|slice(10**10)|list|length }}`,
		"doubling by replace":    `{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s|replace('x', 'xx') %}{% endfor %}`,
		"doubling by +":          `{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}`,
		"doubling by ~":          `{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}`,
		"doubling a list":        `{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}`,
		"doubling by join":       `{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s]|join %}{% endfor %}`,
		"doubling by nesting":    `{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s|string|length }}`,
		"equal nested lists":     `{% set ns = namespace(s=[1], t=[1]) %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}`,
		"nested lists as JSON":   `{% set ns = namespace(s=[1]) %}{% for a in range(99) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s|tojson|length }}`,
		"nested tuples as keys":  `{% set ns = namespace(s=(1,)) %}{% for a in range(99) %}{% set ns.s = (ns.s, ns.s) %}{% endfor %}{{ {ns.s: 1}|length }}`,
		"a large power":          `{{ 10**10**10**10 }}`,
		"squaring":               `{% set ns = namespace(i=10) %}{% for a in range(99) %}{% set ns.i = ns.i * ns.i %}{% endfor %}`,
		"precise floats":         `{{ '%.1000000000f' % 1.5 }}`,
		"maps of maps":           `{% for a in range(999) %}{{ range(99999)|map('string')|select|sort|unique|list|length }}{% endfor %}`,
		"a recursive loop":       `{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}`,
		"a long source":          strings.Repeat("x", 128<<10+1),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			tmpl, err := compile(source, Vars{}, small)
			if err == nil {
				_, err = tmpl.Render([]Message{{Role: "user", Content: "How are you?"}}, RenderOptions{AddGenerationPrompt: true})
			}
			if !errors.Is(err, ErrLimit) {
				t.Errorf("error %v, want ErrLimit", err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v, want about %v", d, small.Time)
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
		"lists":         {"{{ " + strings.Repeat("[", n/2) + strings.Repeat("]", n/2) + " }}", false},
		"signs":         {"{{ " + strings.Repeat("-", n) + "1 }}", false},
		"members":       {"{{ a" + strings.Repeat(".a", n/2) + " }}", true}, // a is undefined
		"subscripts":    {"{{ messages" + strings.Repeat("[messages", n/10) + strings.Repeat("]", n/10) + " }}", false},
		"conditions":    {"{{ " + strings.Repeat("(1 if ", n/8) + "1" + strings.Repeat(")", n/8) + " }}", false},
		"dicts":         {"{{ " + strings.Repeat("{1:", n/4) + "1" + strings.Repeat("}", n/4) + " }}", false},
		"filters":       {"{{ 1" + strings.Repeat("|d", n/2) + " }}", false},
		"slices":        {"{{ 'a'[" + strings.Repeat("'a'[", n/6) + strings.Repeat(":]", n/6) + ":] }}", true},
		"ifs":           {strings.Repeat("{%if 1%}", n/20) + strings.Repeat("{%endif%}", n/20), false},
		"open brackets": {"{{ " + strings.Repeat("(", n) + " }}", true},
		"calls":         {"{% macro f() %}{{ " + strings.Repeat("-", n) + "f() }}{% endmacro %}{{ f() }}", true},
	} {
		t.Run(name, func(t *testing.T) {
			tmpl, err := New(tc.source, Vars{})
			if err == nil {
				_, err = tmpl.Render([]Message{{Role: "user", Content: "Hi"}}, RenderOptions{AddGenerationPrompt: true})
			}
			if (err != nil) != tc.fails {
				t.Errorf("error %.200v; want one: %t", err, tc.fails)
			}
		})
	}
}

// A list or dict cannot be changed, so that only a namespace can contain itself.
func TestValuesThatContainThemselvesAreErrors(t *testing.T) {
	for _, source := range []string{
		`{% set l = [] %}{% set _ = l.append(l) %}{{ l }}`,
		`{% set d = {} %}{% set _ = d.update(d=d) %}{{ d }}`,
		`{% set ns = namespace() %}{% set ns.self = ns %}{{ ns }}`,
		`{% set ns = namespace() %}{% set ns.self = [{'a': ns}] %}{{ ns.self }}`,
		`{% set ns = namespace() %}{% set ns.self = [ns] %}{{ ns.self|tojson }}`,
	} {
		tmpl, err := New(source, Vars{})
		if err == nil {
			_, err = tmpl.Render([]Message{{Role: "user", Content: "Hi"}}, RenderOptions{AddGenerationPrompt: true})
		}
		if err == nil || !strings.HasPrefix(err.Error(), "chat: render template: line 1: ") {
			t.Errorf("%s: error %v, want one that names the line", source, err)
		}
	}
}

// Python repeats a string less than once as the empty string.
func TestNegativeRepetitionIsEmpty(t *testing.T) {
	tmpl, err := New(`<{{ 'a' * -1 }}>`, Vars{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tmpl.Render([]Message{{Role: "user", Content: "Hi"}}, RenderOptions{AddGenerationPrompt: true}); err != nil || got != "<>" {
		t.Errorf("%q, %v; want <>", got, err)
	}
}

// FuzzNew compiles and renders what it is given.
func FuzzNew(f *testing.F) {
	for _, seed := range []string{
		chatML, "{%- for m in messages -%} {{- m.content -}} {%- endfor -%}", "{% raw %}{{{% endraw %}", "{{ {'a': {}} }}",
		"{% macro f(x='}}') %}{{ x }}{% endmacro %}", "{# #}{%+ if x +%}{% endif %}", `{{ "\"" ~ '\'' }}`, "{{ [(}]) }}", "{%", "{{-", "\r\n{%%}",
		"{{ [1, 2.5, 'é', none, {'a': (1,)}]|map('string')|join(',')|upper|replace('A', 'b', 1) }}",
		"{{ '%5.2f %-3s' % (1, 'a') ~ '{0:>5}{x!r}'.format(1, x='y') }}{{ messages[::-1][0]['role'][1:] }}",
		"{% for a, b in [(1, 2)] recursive %}{{ loop.index }}{{ loop([]) }}{% else %}{% continue %}{% endfor %}",
		"{{ 10 ** 20 // 7 % 3 }}{{ 7.5 // -2 }}{{ 1 < 2 <= 3 in [3] }}{{ 'a'|indent(2, true)|center(9)|truncate(3) }}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		tmpl, err := compile(source, Vars{}, jinja.Limits{Time: 100 * time.Millisecond, Memory: 16 << 20})
		if (tmpl == nil) != (err != nil) {
			t.Errorf("template %v with error %v", tmpl, err)
		}
		if err == nil {
			_, err = tmpl.Render([]Message{{Role: "user", Content: "Hi"}}, RenderOptions{AddGenerationPrompt: true})
		}
		if err != nil && strings.Contains(err.Error(), "internal error") {
			t.Errorf("error %q: the interpreter panicked", err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "chat: ") {
			t.Errorf("error %q does not say that it is about a chat template", err)
		}
	})
}
