package wire

import (
	"net/http"
	"slices"
	"strings"
)

// SkippedHeader names what of a request was left out, such as tools that only others' servers have.
const SkippedHeader = "X-Ebb-Skipped"

// maxSkipped is how many bytes SkippedHeader has at most.
const maxSkipped = 200

// Skip says in a response's header which types of things were left out of its request.
func Skip(h http.Header, types []string) {
	if len(types) == 0 {
		return
	}
	types = slices.Clone(types)
	slices.Sort(types)
	text := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, strings.Join(slices.Compact(types), ", "))
	h.Set(SkippedHeader, text[:min(len(text), maxSkipped)])
}
