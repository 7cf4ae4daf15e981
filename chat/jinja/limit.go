package jinja

import (
	"strings"
	"time"
)

// Limits bound one rendering. A limit of zero is that of [StandardLimits].
type Limits struct {
	Output int           // bytes of the result
	Memory int           // bytes of all strings, lists and dicts that are made, whether or not they are still in use
	Depth  int           // calls of macros, blocks and recursive loops within each other
	Time   time.Duration // from the start of a rendering
}

// StandardLimits leaves a factor of at least ten to every template and conversation that is known.
var StandardLimits = Limits{
	Output: 256 << 20,
	Memory: 1 << 30,
	Depth:  200, // Python's own limit on nested calls stops a macro that calls itself at about this depth
	Time:   5 * time.Second,
}

func (l Limits) withDefaults() Limits {
	if l.Output == 0 {
		l.Output = StandardLimits.Output
	}
	if l.Memory == 0 {
		l.Memory = StandardLimits.Memory
	}
	if l.Depth == 0 {
		l.Depth = StandardLimits.Depth
	}
	if l.Time == 0 {
		l.Time = StandardLimits.Time
	}
	return l
}

// meter counts what one rendering takes.
type meter struct {
	Limits
	deadline time.Time
	steps    int
	memory   int
	depth    int
	nesting  int
}

const (
	valueBytes = 16 // of an item of a list
	pairBytes  = 96 // of a key and value of a dict

	// maxNesting bounds how deep expressions and values nest. At up to 1 KiB of stack a level it
	// stays below Go's limit, which would end the process.
	maxNesting = 400_000
)

// tick counts n steps of work, and looks at the clock now and then.
func (m *meter) tick(n int) {
	m.steps += n
	if m.steps < 1<<12 {
		return
	}
	m.steps = 0
	if time.Now().After(m.deadline) {
		exceeded("rendering takes longer than %v", m.Time)
	}
}

// take counts bytes that are about to be allocated.
func (m *meter) take(bytes int) {
	if bytes < 0 || bytes > m.Memory-m.memory {
		exceeded("it makes more than %d bytes of strings and lists", m.Memory)
	}
	m.memory += bytes
	m.tick(1 + bytes/64)
}

// takeMany counts n things of the given size, and of n what overflows too.
func (m *meter) takeMany(n, size int) {
	if size > 0 && n > m.Memory/size {
		exceeded("it makes more than %d bytes of strings and lists", m.Memory)
	}
	m.take(max(n, 0) * size)
}

// call counts one call more; the result ends it.
func (m *meter) call() func() {
	if m.depth++; m.depth > m.Depth {
		exceeded("macros, blocks and loops call each other more than %d deep", m.Depth)
	}
	return func() { m.depth-- }
}

// enter and leave count how deep the interpreter itself recurses.
func (m *meter) enter() {
	if m.nesting++; m.nesting > maxNesting {
		exceeded("its expressions or values nest more than %d deep", maxNesting)
	}
	m.tick(1)
}

func (m *meter) leave() { m.nesting-- }

// builder is a string under construction whose bytes are counted.
type builder struct {
	b strings.Builder
	m *meter
}

func (b *builder) str(s string) {
	b.m.take(len(s))
	b.b.WriteString(s)
}

func (b *builder) char(c byte) {
	b.m.take(1)
	b.b.WriteByte(c)
}

func (b *builder) String() string { return b.b.String() }

// repeat is s n times.
func (m *meter) repeat(s string, n int) string {
	if n <= 0 || s == "" {
		return ""
	}
	m.takeMany(n, len(s))
	return strings.Repeat(s, n)
}

// concat is a and b.
func (m *meter) concat(a, b string) string {
	m.take(len(a) + len(b))
	return a + b
}

// replace is strings.Replace with its result counted.
func (m *meter) replace(s, old, by string, n int) string {
	count := strings.Count(s, old)
	if n >= 0 {
		count = min(n, count)
	}
	m.tick(len(s) / 64)
	m.takeMany(count, len(by))
	m.take(len(s))
	return strings.Replace(s, old, by, n)
}
