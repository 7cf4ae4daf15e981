package grammar

import (
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb/grammar/internal/charset"
)

// maxElements bounds a program: 16 MB.
const maxElements = 1 << 20

// program is a grammar as rules of alternatives, each a run of elements that ends with opEnd.
// Groups and repetitions have become rules:
//
//	x*      star:  x star |
//	x{2,4}  x x opt2    where opt2: x opt1 |    opt1: x |
type program struct {
	elements []element
	rules    [][]int32 // where the alternatives of each rule begin
	names    []string  // of the rules; those that the compiler makes have the name of the rule they are part of
	classes  []class
	root     int32
}

type element struct {
	op  op
	arg int32
}

type op uint8

const (
	opEnd      op = iota // the rule has matched
	opByte               // the byte arg
	opClass              // a character of class arg
	opCall               // a text of rule arg
	opToken              // token arg
	opNotToken           // any token but arg
)

// tokens finds tokens by their texts.
type tokens interface {
	find(text string) (id int32, ok bool) // any token, in angle brackets
	tag(text string) (id int32, ok bool)  // one that is no text, or in angle brackets
}

// unknownTokens stands for a vocabulary that is not known: it has whatever is looked for.
type unknownTokens struct{}

func (unknownTokens) find(string) (int32, bool) { return 0, true }
func (unknownTokens) tag(string) (int32, bool)  { return 0, true }

// compile turns rules into a program. It reports every rule that is missing, and refuses rules
// without end.
func compile(rules []rule, in tokens) (*program, error) {
	c := &compiler{
		program: &program{}, tokens: in,
		byName: map[string]int32{}, classes: map[string]int32{}, repeats: map[repeatKey]int32{}, missing: map[string]bool{},
	}
	for _, r := range rules {
		c.byName[r.name] = c.newRule(r.name)
	}
	root, ok := c.byName["root"]
	if !ok {
		return nil, errors.New("there is no rule root: want one, which says what the whole text is")
	}
	c.root = root
	for _, r := range rules {
		c.rule, c.line = r.name, r.line
		c.define(c.byName[r.name], r.expr)
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	return c.program, c.check()
}

type compiler struct {
	*program
	tokens  tokens
	byName  map[string]int32
	classes map[string]int32    // by their ranges
	repeats map[repeatKey]int32 // rules of repetitions
	missing map[string]bool     // rules that were reported

	rule string // that is being compiled
	line int
	errs []error
	full bool // too many elements were reported
}

// repeatKey names up to most repetitions of one element, -1: any number.
type repeatKey struct {
	element element
	most    int
}

func (c *compiler) fail(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("line %d, rule %s: %w", c.line, c.rule, fmt.Errorf(format, args...)))
}

func (c *compiler) newRule(name string) int32 {
	c.rules = append(c.rules, nil)
	c.names = append(c.names, name)
	return int32(len(c.rules) - 1)
}

// define gives a rule its alternatives.
func (c *compiler) define(id int32, e expr) {
	alternatives, ok := e.(choice)
	if !ok {
		alternatives = choice{e}
	}
	for _, a := range alternatives {
		c.alternative(id, c.run(nil, a))
	}
}

// alternative adds an alternative to a rule.
func (c *compiler) alternative(id int32, run []element) {
	if len(c.elements)+len(run) > maxElements {
		if !c.full {
			c.fail("the grammar has more than %d parts with all repetitions written out: want fewer or shorter ones", maxElements)
		}
		c.full = true
		return
	}
	c.rules[id] = append(c.rules[id], int32(len(c.elements)))
	c.elements = append(append(c.elements, run...), element{op: opEnd})
}

// run appends to dst the elements for e.
func (c *compiler) run(dst []element, e expr) []element {
	switch e := e.(type) {
	case sequence:
		for _, item := range e {
			if dst = c.run(dst, item); len(dst) > maxElements {
				break // define reports it
			}
		}
	case literal:
		for i := range len(e) {
			dst = append(dst, element{opByte, int32(e[i])})
		}
	case charset.Set:
		dst = append(dst, element{opClass, c.class(e)})
	case spelling:
		if id, ok := c.tokens.tag(string(e)); ok {
			return append(dst, element{opToken, id})
		}
		return c.run(dst, literal(e))
	case ruleRef:
		dst = append(dst, c.call(string(e)))
	case tokenRef:
		dst = append(dst, c.token(e))
	case repeat:
		dst = c.repeated(dst, e)
	case choice:
		dst = append(dst, c.own(e))
	}
	return dst
}

// own returns the call of a new rule for e.
func (c *compiler) own(e expr) element {
	id := c.newRule(c.rule)
	c.define(id, e)
	return element{opCall, id}
}

func (c *compiler) call(name string) element {
	id, ok := c.byName[name]
	if !ok && !c.missing[name] {
		c.missing[name] = true
		c.fail("there is no rule %s", name)
	}
	return element{opCall, id}
}

func (c *compiler) class(set charset.Set) int32 {
	key := fmt.Sprint(set)
	id, ok := c.classes[key]
	if !ok {
		id = int32(len(c.program.classes))
		c.program.classes = append(c.program.classes, newClass(set))
		c.classes[key] = id
	}
	return id
}

func (c *compiler) token(t tokenRef) element {
	id := int32(t.id)
	if t.id < 0 {
		var ok bool
		if id, ok = c.tokens.find(t.text); !ok {
			c.fail("the vocabulary has no token %s", t.text)
		}
	}
	if t.not {
		return element{opNotToken, id}
	}
	return element{opToken, id}
}

// repeated appends e.min times e.expr, and a call for those that may follow.
func (c *compiler) repeated(dst []element, e repeat) []element {
	once := c.run(nil, e.expr)
	switch {
	case len(once) == 0:
		return dst
	case len(once) > 1:
		id := c.newRule(c.rule)
		c.alternative(id, once)
		once = []element{{opCall, id}}
	}
	for range e.min {
		dst = append(dst, once[0])
	}
	switch {
	case e.max < 0:
		dst = append(dst, c.upTo(once[0], -1))
	case e.max > e.min:
		dst = append(dst, c.upTo(once[0], e.max-e.min))
	}
	return dst
}

// upTo returns the call of the rule that matches e up to most times.
func (c *compiler) upTo(e element, most int) element {
	// Shorter ones first, without recursion.
	for n := min(1, most); ; n++ {
		key := repeatKey{e, n}
		id, ok := c.repeats[key]
		if !ok {
			id = c.newRule(c.rule)
			c.repeats[key] = id
			switch n {
			case -1:
				c.alternative(id, []element{e, {opCall, id}})
			case 1:
				c.alternative(id, []element{e})
			default:
				c.alternative(id, []element{e, {opCall, c.repeats[repeatKey{e, n - 1}]}})
			}
			c.alternative(id, nil)
		}
		if n == most || c.full {
			return element{opCall, id}
		}
	}
}
