package jsonschema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/grammar/internal/charset"
)

// member of an object that a schema describes.
type property struct {
	name     string
	expr     string // of its value
	required bool
}

// object returns an expression for objects: their members in the order of the schema, then others
// where they are allowed.
func (c *converter) object(s *object, path string) string {
	defer c.inside()()
	properties, names := c.properties(s, path)
	other := "" // expression for the value of another member; none where there is none
	switch additional, ok := s.get("additionalProperties"); {
	case !ok && len(properties) == 0:
		other = c.builtin("value")
	case ok && additional != false:
		other = c.schema(additional, path+"/additionalProperties")
	}
	least, most := c.memberCounts(s, path, properties, other != "")
	switch {
	case len(properties) == 0 && other == "":
		return `"{" ` + c.builtin("ws") + ` "}"`
	case len(properties) == 0:
		pair := c.builtin("string") + ` ":" ` + c.builtin("ws") + " " + other
		return list("{", pair, "}", c.builtin("ws"), least, most)
	}
	pair := ""
	if other != "" {
		pair = c.nameBut(names, path) + ` ":" ` + c.builtin("ws") + " " + other
	}
	return `"{" ` + c.builtin("ws") + " " + c.members(properties, pair, path) + ` "}"`
}

// list returns an expression for least to most items (-1: any number) in brackets.
func list(open, item, end, ws string, least, most int) string {
	open, end = quote(open), quote(end)
	if most == 0 {
		return open + " " + ws + " " + end
	}
	more := ""
	switch {
	case most < 0:
		more = fmt.Sprintf(` ("," %s %s){%d,}`, ws, item, max(least-1, 0))
	case most > 1:
		more = fmt.Sprintf(` ("," %s %s){%d,%d}`, ws, item, max(least-1, 0), most-1)
	}
	some := item + more + " " + ws
	if least == 0 {
		return open + " " + ws + " (" + some + ")? " + end
	}
	return open + " " + ws + " " + some + " " + end
}

// properties returns the members that a schema describes, and their names. Those that are required
// and not described are like additional ones.
func (c *converter) properties(s *object, path string) (properties []property, names []string) {
	required := c.required(s, path)
	isRequired := map[string]bool{}
	for _, name := range required {
		isRequired[name] = true
	}
	described, ok := s.members["properties"].(*object)
	if !ok {
		if s.has("properties") {
			c.fail(path, "properties is %.50s: want an object", compact(s.members["properties"]))
		}
		described = newObject()
	}
	for _, name := range described.keys {
		v := described.members[name]
		if v == false && !isRequired[name] {
			names = append(names, name) // it must not be there
			continue
		}
		at := path + "/properties/" + escapePointer(name)
		properties = append(properties, property{name, c.schema(v, at), isRequired[name]})
		names = append(names, name)
	}
	for _, name := range required {
		if !described.has(name) {
			additional, ok := s.get("additionalProperties")
			if !ok {
				additional = true
			}
			properties = append(properties, property{name, c.schema(additional, path+"/additionalProperties"), true})
			names = append(names, name)
		}
	}
	return properties, names
}

func (c *converter) required(s *object, path string) (names []string) {
	list, ok := s.members["required"].([]value)
	if !ok && s.has("required") {
		c.fail(path, "required is %.50s: want a list of names", compact(s.members["required"]))
	}
	seen := map[string]bool{}
	for _, v := range list {
		if name, ok := v.(string); !ok {
			c.fail(path, "required has %.50s: want names", compact(v))
		} else if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// escapePointer returns a name as a part of the place of a schema, not too long: it is part of the
// place of all within.
func escapePointer(name string) string {
	if len(name) > 100 {
		name = strings.ToValidUTF8(name[:100], "") + "…"
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// memberCounts returns the bounds for objects that have no properties, and reports bounds that the
// properties do not keep by themselves. Names may come twice, and count once then, so two members
// more cannot be asked for.
func (c *converter) memberCounts(s *object, path string, properties []property, others bool) (least, most int) {
	least, most = c.count(s, "minProperties", path, 0), c.count(s, "maxProperties", path, -1)
	required := 0
	for _, p := range properties {
		if p.required {
			required++
		}
	}
	if len(properties) == 0 && others {
		if least > 1 {
			c.fail(path, "minProperties %d is not supported without properties: want at most 1", least)
		}
		if most >= 0 && most < least {
			c.fail(path, "minProperties is %d, and maxProperties %d", least, most)
		}
		return least, most
	}
	if least > required {
		c.fail(path, "minProperties %d is more than the %d properties that are required: that is not supported", least, required)
	}
	if most >= 0 && (most < len(properties) || others) {
		c.fail(path, "maxProperties %d is less than the members that there may be: that is not supported", most)
	}
	return least, most
}

// members returns an expression for what stands between the braces: a rule for each member while
// none has been written, and one while some have been, so that commas stand between them only.
func (c *converter) members(properties []property, other, path string) string {
	ws := c.builtin("ws")
	// From the last to the first: what may follow when some have been written, and when none has,
	// unless one must have.
	some, none := ws, `""`
	if other != "" {
		some, none = c.unique(path+"/more"), c.unique(path+"/member")
		c.add(some, `("," `+ws+" "+other+")* "+ws)
		c.add(none, `"" | `+other+" "+some)
	}
	must := slices.IndexFunc(properties, func(p property) bool { return p.required })
	for i, p := range slices.Backward(properties) {
		pair := c.name(p.name) + " " + ws + " " + p.expr + " " + some
		first, more := pair, `"," `+ws+" "+pair
		if !p.required {
			first += " | " + none
			more += " | " + some
		}
		if i <= must || must < 0 {
			none = c.unique(path + "/member")
			c.add(none, first)
		}
		if i > 0 {
			some = c.unique(path + "/more")
			c.add(some, more)
		}
	}
	return none
}

// nameBut returns an expression for a member's name that is none of names. It has no escapes: with
// them there would be several ways to write one name.
func (c *converter) nameBut(names []string, path string) string {
	type node struct {
		rule string
		next map[rune]*node
		end  bool // a name ends here
	}
	newNode := func() *node { return &node{rule: c.unique(path + "/name"), next: map[rune]*node{}} }
	top := newNode()
	for _, name := range names {
		if c.json(name) != `"`+name+`"` {
			continue // it cannot be written without escapes
		}
		at := top
		for _, r := range name {
			if at.next[r] == nil {
				at.next[r] = newNode()
			}
			at = at.next[r]
		}
		at.end = true
	}
	plain := c.builtin("plain")
	todo := []*node{top}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		var exprs []string
		if !n.end {
			exprs = append(exprs, `"\""`)
		}
		var taken charset.Set
		for _, r := range sortedRunes(n.next) {
			taken = append(taken, charset.Range{Lo: r, Hi: r})
			exprs = append(exprs, quote(string(r))+" "+n.next[r].rule)
			todo = append(todo, n.next[r])
		}
		taken = append(taken, charset.Of(0, 0x1F, '"', '"', '\\', '\\', 0x7F, 0x7F)...)
		if r := c.spelling.avoid; r != 0 {
			taken = append(taken, charset.Range{Lo: r, Hi: r})
		}
		if others := taken.Normalize().Complement(); len(others) > 0 {
			exprs = append(exprs, others.GBNF()+" "+plain+`* "\""`)
		}
		c.add(n.rule, strings.Join(exprs, " | "))
	}
	return `"\"" ` + top.rule
}

func sortedRunes[V any](m map[rune]V) (keys []rune) {
	for r := range m {
		keys = append(keys, r)
	}
	slices.Sort(keys)
	return keys
}
