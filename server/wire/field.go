package wire

import "encoding/json"

// Or returns what p, a field of a body, points to, and otherwise a default.
func Or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// IsNull reports whether a field of a body is not there, or null.
func IsNull(data json.RawMessage) bool { return len(data) == 0 || string(data) == "null" }
