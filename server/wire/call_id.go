package wire

import "strings"

// randomLength is how many characters ID adds.
const randomLength = 26

// CallID returns the name that a client is given of a call, which has the id of its own. Those are
// unique in one conversation, and programs keep the calls of several ones together.
func CallID(prefix, own string) string { return ID(prefix) + "_" + own }

// OwnCallID returns the id that a call has had of its own, from a name that a client has been given with
// the prefix. Templates that show ids show the same one again, so that the prompt begins as before.
// Any other name is returned as it is.
func OwnCallID(prefix, name string) string {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok || len(rest) < randomLength+2 || rest[randomLength] != '_' {
		return name
	}
	return rest[randomLength+1:]
}
