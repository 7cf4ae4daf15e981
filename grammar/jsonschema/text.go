package jsonschema

import (
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/grammar/internal/charset"
)

// textWithout returns the name of a rule for texts that contain none of some stops, which are not empty.
// There is a rule for each beginning of a stop with which a text may end (Aho and Corasick 1975).
func (c *converter) textWithout(stops ...string) string {
	key := ownRule{"text", Spelling{Stop: strings.Join(stops, "\x00")}}
	if rule, ok := c.own[key]; ok {
		return rule
	}
	ends := []string{""}
	var special charset.Set // characters of stops
	for _, stop := range stops {
		for i, r := range stop {
			special = append(special, charset.Range{Lo: r, Hi: r})
			if i > 0 && !slices.Contains(ends, stop[:i]) {
				ends = append(ends, stop[:i])
			}
		}
	}
	rules := map[string]string{}
	for _, end := range ends {
		rules[end] = c.unique("text")
	}
	c.own[key] = rules[""]
	others := written.Intersect(special.Normalize().Complement())
	for _, end := range ends {
		exprs := []string{`""`, others.GBNF() + " " + rules[""]}
		for _, r := range runesOf(special.Normalize()) {
			text := end + string(r)
			if !slices.ContainsFunc(stops, func(stop string) bool { return strings.HasSuffix(text, stop) }) {
				exprs = append(exprs, quote(string(r))+" "+rules[longestEnd(text, ends)])
			}
		}
		c.add(rules[end], strings.Join(exprs, " | "))
	}
	return rules[""]
}

// longestEnd returns the longest of some texts with which a text ends; one of them is empty.
func longestEnd(text string, ends []string) (longest string) {
	for _, end := range ends {
		if len(end) > len(longest) && strings.HasSuffix(text, end) {
			longest = end
		}
	}
	return longest
}

// runesOf returns the characters of a set.
func runesOf(set charset.Set) (runes []rune) {
	for _, in := range set {
		for r := in.Lo; r <= in.Hi; r++ {
			runes = append(runes, r)
		}
	}
	return runes
}
