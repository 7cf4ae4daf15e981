package main

import "strings"

// bar draws how much of a whole some parts take, each by its letter; what is free are dots.
func bar(whole int64, parts ...barPart) string {
	const width = 50
	drawn, taken := make([]byte, 0, width), int64(0)
	for _, p := range parts {
		taken += p.bytes
		end := int(min(1, float64(taken)/float64(max(1, whole))) * width)
		if p.bytes > 0 {
			end = max(end, min(width, len(drawn)+1)) // what is there is seen
		}
		for len(drawn) < end {
			drawn = append(drawn, p.letter)
		}
	}
	return "[" + string(drawn) + strings.Repeat(".", width-len(drawn)) + "]"
}

type barPart struct {
	letter byte
	bytes  int64
}
