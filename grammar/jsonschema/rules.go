package jsonschema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed4d217819/ebb/grammar"
)

// Rules writes several schemas as one grammar, with rules of the caller's around them. Its methods return
// expressions of GBNF. They report all that a schema has and a grammar cannot do, as [Grammar] does.
type Rules struct {
	c *converter
}

// NewRules returns an empty grammar.
func NewRules() *Rules { return &Rules{newConverter()} }

// Value returns an expression for the JSON texts that are valid by a schema, as [Grammar] has them.
func (r *Rules) Value(schema []byte) (expr string, err error) {
	return r.write(schema, Spelling{}, func(root *object) string { return r.c.schema(root, "#") })
}

// Object returns an expression for the objects that are valid by a schema, in a spelling.
func (r *Rules) Object(schema []byte, s Spelling) (expr string, err error) {
	return r.write(schema, s, func(root *object) string { return r.c.ofObjects(root) })
}

// Members returns an expression for the members of an object that is valid by a schema, one after the
// other: write returns what stands for each, with the expression of its value. Members that the schema
// does not name are left out. The schema has no keywords about objects but properties, required,
// additionalProperties and their numbers.
func (r *Rules) Members(schema []byte, s Spelling, write func(name, value string) string) (expr string, err error) {
	return r.write(schema, s, func(root *object) string { return r.c.memberList(root, write) })
}

// TextWithout returns an expression for texts that contain none of some stops, which are not empty. Of
// control characters such texts have tabs and ends of lines.
func (r *Rules) TextWithout(stops ...string) string { return r.c.textWithout(stops...) }

// Rule adds a rule, and returns its name, which begins with hint.
func (r *Rules) Rule(hint, expr string) string { return r.c.rule(hint, expr) }

// Grammar returns the grammar of the texts that an expression stands for.
func (r *Rules) Grammar(root string) (gbnf string, err error) {
	r.c.add("root", root)
	if err := errors.Join(r.c.errs...); err != nil {
		return "", err
	}
	gbnf = r.c.allRules()
	if err := grammar.Check(gbnf); err != nil {
		return "", fmt.Errorf("jsonschema: %w", err)
	}
	return gbnf, nil
}

// write has an expression made for a schema.
func (r *Rules) write(schema []byte, s Spelling, expr func(*object) string) (string, error) {
	if len(schema) > grammar.MaxText {
		return "", fmt.Errorf("jsonschema: the schema has %d bytes: want at most %d", len(schema), grammar.MaxText)
	}
	root, err := readJSON(schema)
	if err != nil {
		return "", fmt.Errorf("jsonschema: %w", err)
	}
	if root == true {
		root = newObject()
	}
	o, ok := root.(*object)
	if !ok {
		return "", fmt.Errorf("jsonschema: %.50s is no schema: want a JSON object", compact(root))
	}
	r.c.begin(o)
	r.c.spelling = s
	written := expr(o)
	err = errors.Join(r.c.errs...)
	r.c.errs = nil
	return written, err
}

// ofObjects returns an expression for those valid values of a schema that are objects.
func (c *converter) ofObjects(root *object) string {
	if root.members["type"] == "object" {
		return c.schema(root, "#")
	}
	only := newObject()
	only.set("type", "object")
	return c.rule("arguments", c.merged("#", only, root))
}

// memberList returns an expression for the members of an object, in their order.
func (c *converter) memberList(root *object, write func(name, value string) string) string {
	c.check(root, "#")
	for _, key := range root.keys {
		switch about := keywordTypes[key]; {
		case key == "type":
			if t := typeList(root.members["type"]); len(t) != 1 || t[0] != "object" {
				c.fail("#", `type is %.50s: want "object"`, compact(root.members["type"]))
			}
		case about == "" && isKeyword(key):
			c.fail("#", "%s is not supported where members are written one by one: want properties", key)
		}
	}
	properties, _ := c.properties(root, "#")
	c.memberCounts(root, "#", properties, false)
	if len(properties) == 0 {
		return `""`
	}
	var exprs []string
	for _, p := range properties {
		expr := write(p.name, p.expr)
		if !p.required {
			expr = "(" + expr + ")?"
		}
		exprs = append(exprs, expr)
	}
	return c.rule("members", strings.Join(exprs, " "))
}

// rule adds a rule, and returns its name, which begins with hint.
func (c *converter) rule(hint, expr string) string {
	name := c.unique(hint)
	c.add(name, expr)
	return name
}
