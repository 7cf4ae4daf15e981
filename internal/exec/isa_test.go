package exec

import (
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/attend"
	"github.com/seed4d217819/ebb/isa"
)

func TestTheInstructionSetOfTheOptionsGoesBeforeTheEnvironment(t *testing.T) {
	for _, tt := range []struct {
		env       string
		set, want isa.ISA // want 0: an error
	}{
		{env: "ggml", set: isa.Best, want: isa.GGML},
		{env: "ggml", set: isa.Go, want: isa.Go},
		{env: "sse", set: isa.GGML, want: isa.GGML},
		{env: "sse", set: isa.Best},
	} {
		t.Setenv(isa.Variable, tt.env)
		got, err := newAttending(attend.Kernel, tt.set)
		if got.set != tt.want || (err == nil) != (tt.want != 0) {
			t.Errorf("EBB_ISA=%s, option %v: got %v, error %v; want %v", tt.env, tt.set, got.set, err, tt.want)
		}
	}
}

// Where tiles should compute attention and cannot, a note says why.
func TestTilesThatAreNotThereAreNoted(t *testing.T) {
	if !slices.Contains(isa.All(), isa.AMX) {
		t.Skip("cpu: no AMX here")
	}
	for _, tt := range []struct {
		kind attend.Kind
		set  isa.ISA
		note string
	}{
		{kind: attend.Tiles, set: isa.AMX},
		{kind: attend.Tiles, set: isa.AVX2, note: "attention is computed as under auto, without tiles: EBB_ISA is avx2"},
		{kind: attend.Auto, set: isa.AVX2},
	} {
		r := setting{devices: cpu, Options: Options{Attention: tt.kind, ISA: tt.set}}.mustOpen(t)
		if got := strings.Join(r.Notes(), "; "); got != tt.note {
			t.Errorf("%v with %v: got the notes %q, want %q", tt.kind, tt.set, got, tt.note)
		}
	}
}
