package jsonschema

import (
	"fmt"
	"strings"
)

// array returns an expression for arrays.
func (c *converter) array(s *object, path string) string {
	defer c.inside()()
	ws := c.builtin("ws")
	least, most := c.count(s, "minItems", path, 0), c.count(s, "maxItems", path, -1)
	if most >= 0 && most < least {
		return c.fail(path, "minItems is %d, and maxItems %d", least, most)
	}
	if unique, ok := s.get("uniqueItems"); ok && unique != false && (most < 0 || most > 1) {
		c.fail(path, "uniqueItems is not supported")
	}
	first, item := c.items(s, path)
	if len(first) == 0 && item == "" {
		if least > 0 {
			return c.fail(path, "minItems is %d, and no item is allowed", least)
		}
		most = 0
	}
	if len(first) == 0 || most == 0 {
		return list("[", item, "]", ws, least, most)
	}
	if item == "" && (most < 0 || most > len(first)) {
		most = len(first)
	}
	if least > len(first) && item == "" {
		return c.fail(path, "minItems is %d, and at most %d items are allowed", least, len(first))
	}
	// From the last to the first: what may follow item i.
	follow := ws
	if rest := most - len(first); item != "" && rest != 0 {
		atLeast := max(least-len(first), 0)
		if most < 0 {
			follow = fmt.Sprintf(`("," %s %s){%d,} %s`, ws, item, atLeast, ws)
		} else if rest > 0 {
			follow = fmt.Sprintf(`("," %s %s){%d,%d} %s`, ws, item, atLeast, rest, ws)
		}
	}
	if most >= 0 {
		first = first[:min(len(first), most)]
	}
	for i := len(first) - 1; i > 0; i-- {
		expr := `"," ` + ws + " " + first[i] + " " + follow
		if i >= least {
			expr += " | " + ws // the array may end before item i
		}
		follow = c.unique(path + "/items")
		c.add(follow, expr)
	}
	inside := first[0] + " " + follow
	if least == 0 {
		inside = "(" + inside + ")?"
	}
	return strings.Join([]string{`"["`, ws, inside, `"]"`}, " ")
}

// items returns expressions for the first items and for all others, "" where there are none.
func (c *converter) items(s *object, path string) (first []string, other string) {
	items, hasItems := s.get("items")
	prefix, hasPrefix := s.get("prefixItems")
	at := path + "/prefixItems"
	if _, isList := items.([]value); isList && !hasPrefix {
		// As it was written until 2020.
		prefix, hasPrefix, at = items, true, path+"/items"
		items, hasItems = s.get("additionalItems")
	}
	if hasPrefix {
		schemas, ok := prefix.([]value)
		if !ok {
			c.fail(at, "it is %.50s: want a list of schemas", compact(prefix))
		}
		for i, schema := range schemas {
			first = append(first, c.schema(schema, fmt.Sprintf("%s/%d", at, i)))
		}
	}
	switch {
	case hasItems && items != false:
		other = c.schema(items, path+"/items")
	case !hasItems && len(first) == 0:
		other = c.builtin("value")
	case !hasItems && c.count(s, "minItems", path, 0) > len(first):
		other = c.builtin("value")
	}
	return first, other
}
