package exec

import (
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
