package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/reg"
	. "github.com/seed4d217819/ebb/internal/gen/asm"
)

// vnniSet is AVX-512 with VNNI.
var vnniSet = set{Set{Name: "VNNI", Lanes: 16}}

var vnniFunctions = functions{
	quantise: "quantiseVNNI", normQuantise: "normQuantiseVNNI", glus: gluNames("VNNI"),
	few:    func(r reader, n int) string { return fmt.Sprintf("few%d%sVNNI", n, r.name) },
	expand: func(r reader) string { return "expand" + r.name + "VNNI" },
	tile:   func(reader) string { return "tile" }, // by groups, in entry_amd64.s
	group:  func(k kind, n int) string { return fmt.Sprintf("group%d%vVNNI", n, k) },
	passes: func(n int) int { return (n + 5) / 6 },
}

func vnni() {
	s, fn := vnniSet, vnniFunctions
	s.quantise(fn.quantise, false)
	s.quantise(fn.normQuantise, true)
	s.emitGLUs(fn.glus, func() func(written, []reg.VecVirtual) {
		quantiser := s.newQuantiser()
		return func(w written, values []reg.VecVirtual) { quantiser.write(w, values[0], values[1]) }
	})
	for _, k := range kinds {
		for n := 1; n <= 6; n++ {
			s.group(k, fn.group(k, n), n)
		}
	}
	for _, r := range readers {
		s.expand(r, fn.expand(r), false)
		for n := 1; n <= 4; n++ {
			s.few(r, fn.few(r, n), n)
		}
	}
}
