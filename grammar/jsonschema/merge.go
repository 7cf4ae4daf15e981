package jsonschema

import (
	"encoding/json"
	"slices"
)

// merged returns an expression for the values that are valid by all parts.
func (c *converter) merged(path string, parts ...value) string {
	m, ok := c.merge(path, 0, parts...)
	if !ok {
		return `""`
	}
	return c.body(m, path)
}

// Bounds of merging: references may lead in circles, and fan out.
const (
	maxMergeDepth = 50
	maxMerges     = 20_000
	maxPairs      = 1_000_000 // values that are compared with each other
)

// merge returns one schema object, without $ref and allOf, for the values that are valid by all
// parts. It reports keywords that cannot be merged.
func (c *converter) merge(path string, depth int, parts ...value) (*object, bool) {
	if c.merges++; depth > maxMergeDepth || c.merges > maxMerges {
		c.fail(path, "allOf and $ref lie too deep in each other, or lead to themselves")
		return nil, false
	}
	m, flat := newObject(), []*object(nil)
	for _, part := range parts {
		if o, ok := m.members["properties"].(*object); ok {
			c.merges += len(o.keys) / 100 // they are copied
		}
		p, ok := c.flat(path, depth, part)
		if !ok {
			return nil, false
		}
		flat = append(flat, p)
		for _, key := range p.keys {
			v := p.members[key]
			before, twice := m.get(key)
			switch {
			case !isKeyword(key):
				continue
			case twice && !equal(before, v):
				if v, ok = combine(key, before, v); !ok {
					c.fail(path, "%s in several parts of allOf, anyOf or beside $ref is not supported: %.50s and %.50s",
						key, compact(before), compact(p.members[key]))
					return nil, false
				}
			}
			m.set(key, v)
		}
	}
	return m, c.checkAdditional(path, flat)
}

// flat returns part as an object without $ref and allOf.
func (c *converter) flat(path string, depth int, part value) (*object, bool) {
	o, ok := part.(*object)
	switch {
	case part == true:
		return newObject(), true
	case !ok:
		c.fail(path, "%.50s is no schema that allows something", compact(part))
		return nil, false
	case o.has("$ref"):
		target := c.lookup(o.members["$ref"], path)
		if target == nil {
			return nil, false
		}
		return c.merge(path, depth+1, o.without("$ref"), target)
	case o.has("allOf"):
		parts, ok := o.members["allOf"].([]value)
		if !ok || len(parts) > maxParts {
			c.fail(path, "allOf is %.50s: want a list of 1 to %d schemas", compact(o.members["allOf"]), maxParts)
			return nil, false
		}
		return c.merge(path, depth+1, append([]value{o.without("allOf")}, parts...)...)
	}
	return o, true
}

// combine returns the value of a keyword that requires both what a and what b require.
func combine(key string, a, b value) (value, bool) {
	switch key {
	case "type":
		return commonTypes(a, b)
	case "properties":
		return commonProperties(a, b)
	case "items":
		all := newObject()
		all.set("allOf", []value{a, b})
		return all, true
	case "required":
		x, okA := a.([]value)
		y, okB := b.([]value)
		return append(slices.Clone(x), y...), okA && okB
	case "enum":
		x, okA := a.([]value)
		y, okB := b.([]value)
		if len(x)*len(y) > maxPairs {
			return nil, false
		}
		var common []value
		for _, v := range x {
			if slices.ContainsFunc(y, func(w value) bool { return equal(v, w) }) {
				common = append(common, v)
			}
		}
		return common, okA && okB && len(common) > 0
	case "uniqueItems":
		return true, true
	case "additionalProperties":
		if a == true {
			return b, true
		}
		return a, b == true
	case "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties":
		return stricter(a, b, func(x, y float64) bool { return x > y })
	case "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties":
		return stricter(a, b, func(x, y float64) bool { return x < y })
	}
	return nil, false
}

func stricter(a, b value, than func(x, y float64) bool) (value, bool) {
	m, okA := a.(json.Number)
	n, okB := b.(json.Number)
	if !okA || !okB {
		return nil, false
	}
	x, errX := m.Float64()
	y, errY := n.Float64()
	if than(x, y) {
		return a, errX == nil && errY == nil
	}
	return b, errX == nil && errY == nil
}

func commonTypes(a, b value) (value, bool) {
	var common []value
	for _, x := range typeList(a) {
		for _, y := range typeList(b) {
			switch {
			case x == y, x == "integer" && y == "number":
				common = append(common, x)
			case x == "number" && y == "integer":
				common = append(common, y)
			}
		}
	}
	return common, len(common) > 0
}

func typeList(v value) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []value:
		var types []string
		for _, item := range v {
			if name, ok := item.(string); ok {
				types = append(types, name)
			}
		}
		return types
	}
	return nil
}

func commonProperties(a, b value) (value, bool) {
	x, okA := a.(*object)
	y, okB := b.(*object)
	if !okA || !okB {
		return nil, false
	}
	common := newObject()
	for _, name := range x.keys {
		v := x.members[name]
		if other, ok := y.get(name); ok && !equal(v, other) {
			both := newObject()
			both.set("allOf", []value{v, other})
			v = both
		}
		common.set(name, v)
	}
	for _, name := range y.keys {
		if !common.has(name) {
			common.set(name, y.members[name])
		}
	}
	return common, true
}

// checkAdditional reports an additionalProperties that is about the properties of another part: it
// knows those beside it alone.
func (c *converter) checkAdditional(path string, parts []*object) bool {
	for i, p := range parts {
		additional, ok := p.get("additionalProperties")
		if !ok || additional == true {
			continue
		}
		own, _ := p.members["properties"].(*object)
		for j, other := range parts {
			described, ok := other.members["properties"].(*object)
			if i == j || !ok {
				continue
			}
			for _, name := range described.keys {
				if own == nil || !own.has(name) {
					c.fail(path, "additionalProperties beside the property %.50q of another part of allOf is not supported", name)
					return false
				}
			}
		}
	}
	return true
}

// checkDisjoint reports alternatives of oneOf that may both be valid.
func (c *converter) checkDisjoint(parts []value, path string) {
	for i := range parts {
		for j := range i {
			if c.full() {
				return
			}
			a, okA := c.flat(path, 0, parts[j])
			b, okB := c.flat(path, 0, parts[i])
			if okA && okB && (!c.rejects(a, b, 0) || !c.rejects(b, a, 0)) {
				c.fail(path, "a value may be valid by alternatives %d and %d of oneOf: want anyOf, or alternatives that exclude each other", j, i)
				return
			}
		}
	}
}

// rejects reports whether b is sure to reject every text that is written for a. Both are flat.
func (c *converter) rejects(a, b *object, depth int) bool {
	if depth > 5 {
		return false
	}
	if x, y := constants(a), constants(b); x != nil && y != nil {
		return len(x)*len(y) <= maxPairs && !slices.ContainsFunc(x, func(v value) bool {
			return slices.ContainsFunc(y, func(w value) bool { return equal(v, w) })
		})
	}
	types := possible(a)
	if types == nil || possible(b) == nil {
		return false
	}
	if common, ok := commonTypes(types, possible(b)); ok {
		list, _ := common.([]value)
		return len(list) == 1 && list[0] == "object" && c.rejectsObject(a, b, depth)
	}
	return true
}

// constants returns the values that a schema allows, nil where it does not list them.
func constants(o *object) []value {
	if v, ok := o.get("const"); ok {
		return []value{v}
	}
	list, _ := o.members["enum"].([]value)
	return list
}

// possible returns the types that may be written for a schema, nil for any.
func possible(o *object) value {
	if t, ok := o.get("type"); ok {
		return t
	}
	var types []value
	for _, v := range constants(o) {
		types = append(types, typeOf(v))
	}
	if types != nil {
		return types
	}
	for _, key := range o.keys {
		switch keywordTypes[key] {
		case "object":
			return []value{"object"}
		case "":
			return nil // anyOf and the like
		}
	}
	return nil
}

// rejectsObject reports whether b surely rejects the objects that are written for a.
func (c *converter) rejectsObject(a, b *object, depth int) bool {
	inA, _ := a.members["properties"].(*object)
	inB, _ := b.members["properties"].(*object)
	if inA == nil || inB == nil {
		return false
	}
	requiredA, requiredB := textsOf(a.members["required"]), textsOf(b.members["required"])
	additional, open := a.get("additionalProperties")
	if !open || additional == false {
		for _, name := range requiredB {
			if !inA.has(name) && !slices.Contains(requiredA, name) {
				return true // which is never written for a
			}
		}
	}
	for _, name := range requiredA {
		if b.members["additionalProperties"] == false && !inB.has(name) {
			return true
		}
		x, okA := inA.members[name].(*object)
		y, okB := inB.members[name].(*object)
		if okA && okB && !x.has("$ref") && !y.has("$ref") && c.rejects(x, y, depth+1) {
			return true
		}
	}
	return false
}

func textsOf(v value) (texts []string) {
	list, _ := v.([]value)
	for _, item := range list {
		if s, ok := item.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}
