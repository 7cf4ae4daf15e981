package jinja

import (
	"math"
	"slices"
	"strings"
)

// ignoreCase is v, in lower case if it is a string.
func ignoreCase(v Value) Value {
	if s, ok := text(v); ok {
		return lower(s)
	}
	return v
}

// keyOf is a getter of what items are compared by.
func (r *renderer) keyOf(attribute Value, caseSensitive bool) func(Value) Value {
	get := r.getter(attribute, nil)
	if caseSensitive {
		return get
	}
	return func(v Value) Value { return ignoreCase(get(v)) }
}

// sortKey is keyOf for several attributes with commas between them.
func (r *renderer) sortKey(attribute Value, caseSensitive bool) func(Value) Value {
	var keys []func(Value) Value
	if s, ok := attribute.(string); ok {
		for part := range strings.SplitSeq(s, ",") {
			keys = append(keys, r.keyOf(part, caseSensitive))
		}
	} else {
		keys = append(keys, r.keyOf(attribute, caseSensitive))
	}
	return func(v Value) Value {
		items := make([]Value, len(keys))
		for i, key := range keys {
			items[i] = key(v)
		}
		return &List{items}
	}
}

// sorted is Python's sorted(items, key, reverse).
func (r *renderer) sorted(items []Value, key func(Value) Value, reverse bool) []Value {
	type entry struct{ key, value Value }
	r.takeMany(len(items), 4*valueBytes)
	entries := make([]entry, len(items))
	for i, item := range items {
		entries[i] = entry{key(item), item}
		if hasNaN(entries[i].key) {
			unsupported("sorting nan")
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		x, y := a.key, b.key
		if reverse {
			x, y = y, x
		}
		switch {
		case r.less(x, y):
			return -1
		case r.less(y, x):
			return 1
		}
		return 0
	})
	out := make([]Value, len(entries))
	for i, e := range entries {
		out[i] = e.value
	}
	return out
}

func hasNaN(v Value) bool {
	if l := sequence(v); l != nil {
		return slices.ContainsFunc(*l, func(v Value) bool {
			f, ok := v.(float64)
			return ok && math.IsNaN(f)
		})
	}
	f, ok := v.(float64)
	return ok && math.IsNaN(f)
}

func dictsortFilter(r *renderer, v Value, a []Value) Value {
	at := 0
	switch by, _ := optional(a[1], "key").(string); by {
	case "key":
	case "value":
		at = 1
	default:
		fail("FilterArgumentError", `You can only sort by either "key" or "value"`)
	}
	d, ok := v.(*Dict)
	if !ok {
		use(v)
		fail("AttributeError", "'%s' object has no attribute 'items'", typeName(v))
	}
	caseSensitive := truth(optional(a[0], false))
	key := func(pair Value) Value {
		k := pair.(*tuple).items[at]
		if caseSensitive {
			return k
		}
		return ignoreCase(k)
	}
	return &List{r.sorted(r.items(&view{d, "items"}), key, truth(optional(a[2], false)))}
}

func groupbyFilter(r *renderer, v Value, a []Value) Value {
	otherwise := optional(a[1], nil)
	caseSensitive := truth(optional(a[2], false))
	get := r.getter(a[0], otherwise)
	key := func(v Value) Value {
		if caseSensitive {
			return get(v)
		}
		return ignoreCase(get(v))
	}
	var groups []Value
	var last Value
	for i, item := range r.sorted(r.items(v), key, false) {
		k := key(item)
		if i == 0 || !r.equal(last, k) {
			r.take(pairBytes)
			groups = append(groups, &tuple{items: []Value{get(item), &List{}}, group: true})
			last = k
		}
		list := groups[len(groups)-1].(*tuple).items[1].(*List)
		r.take(valueBytes)
		list.items = append(list.items, item)
	}
	return &List{groups}
}
