package kv

import (
	"fmt"
	"strings"
)

// Policy says where the rows of a cache live. The names, but for auto, are those of Hugging Face
// transformers' cache_implementation.
type Policy int

// The policies.
const (
	// Auto keeps every layer on its device as long as memory allows, like Dynamic. Where it does not,
	// some layers leave the device, and visit it like those of Offloaded. It is the zero value.
	Auto Policy = iota
	// Dynamic keeps every layer on its device and touches memory as rows come.
	Dynamic
	// Static keeps every layer on its device, allocated and touched once, at fixed addresses.
	Static
	// Offloaded keeps rows in a tier; layers visit the device in turn. It grows as rows come.
	Offloaded
	// OffloadedStatic is Offloaded with all memory allocated once.
	OffloadedStatic
)

var policyNames = [...]string{"auto", "dynamic", "static", "offloaded", "offloaded_static"}

// PolicyNames returns the names that [ParsePolicy] takes.
func PolicyNames() []string { return append([]string(nil), policyNames[:]...) }

// ParsePolicy returns the policy of that name.
func ParsePolicy(name string) (Policy, error) {
	for i, n := range policyNames {
		if n == name {
			return Policy(i), nil
		}
	}
	return 0, fmt.Errorf("kv: unknown cache policy %q: want one of %s", name, strings.Join(policyNames[:], ", "))
}

// String returns the policy's name.
func (p Policy) String() string {
	if p < 0 || int(p) >= len(policyNames) {
		return fmt.Sprintf("policy(%d)", int(p))
	}
	return policyNames[p]
}

// streams reports whether layers may live in a tier.
func (p Policy) streams() bool { return p == Auto || p == Offloaded || p == OffloadedStatic }

// adapts reports whether layers stay on their device for as long as memory allows.
func (p Policy) adapts() bool { return p == Auto }

// fixed reports whether all memory is allocated and touched at once.
func (p Policy) fixed() bool { return p == Static || p == OffloadedStatic }
