package exec

import (
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

// Under auto, rows behind windows take at most half of the host memory that is free when the model is
// opened, and a note says so.
func TestRowsBehindWindowsAreBoundedByHostMemory(t *testing.T) {
	tests := []struct {
		name    string
		free    int64 // beside what is left to others
		alone   bool
		asked   int
		bounded bool
	}{
		{"plenty", 64 << 20, true, 0, false},
		{"little", 3 << 20, true, 0, true},
		{"less than a ring", 300 << 10, true, 0, true},
		{"nothing", 0, true, 0, true},
		{"little, with a disk", 3 << 20, false, 0, false},
		{"little, and the user has decided", 3 << 20, true, 300, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := setting{devices: cpu, windows: true, Options: Options{HostAlone: tt.alone}}
			o.Cache.Policy, o.Cache.ChunkTokens, o.Cache.StepTokens, o.Cache.WindowRows = kv.Auto, 64, 64, tt.asked
			o.Cache.Cells = 4096
			mapped := int64(2 << 20) // more than the weights
			o.HostRoom = func() (int64, bool) { return leastLeft + mapped + tt.free, true }
			e := o.mustOpen(t)
			backends, on := e.devices.layerDevices()
			e.notes = nil
			mapped = e.mapped()
			c, err := e.cacheOptions(e.options, backends, on)
			if err != nil {
				t.Fatal(err)
			}
			noted := strings.Contains(strings.Join(e.notes, " "), "behind the windows of")
			if !tt.bounded {
				if c.WindowRows != tt.asked || noted {
					t.Errorf("%d rows are kept, notes %q; want %d and no note", c.WindowRows, e.notes, tt.asked)
				}
				return
			}
			kinds := c.Plan(backends...).Kinds()
			want := int(tt.free/2/kinds.PastBytes)/plan.Block*plan.Block - kinds.RingCells
			if want <= 0 {
				want = kv.NoWindowRows
			}
			if c.WindowRows != want || !noted {
				t.Errorf("%d rows are kept, notes %q; want %d and a note", c.WindowRows, e.notes, want)
			}
			if kept := kinds.Past(kinds.RingCells + c.WindowRows); c.WindowRows > 0 && kept > tt.free/2 {
				t.Errorf("%d bytes are kept, want at most %d", kept, tt.free/2)
			}
		})
	}
}
