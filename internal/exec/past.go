package exec

import (
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/kv"
)

// boundPast bounds the rows that are kept behind windows to half of the host memory that is free, under
// the policy auto and where they have no other place. The other half is for the rows of full layers and
// for other programs. A user who says how many rows to keep decides alone.
func (r *Runner) boundPast(o Options, c *kv.Options, backends []*ggml.Backend) {
	if c.Policy != kv.Auto || c.WindowRows != 0 || !o.HostAlone {
		return
	}
	kinds := c.Plan(backends...).Kinds()
	if kinds.PastBytes == 0 {
		return
	}
	free, known := c.Room(kv.HostMemory, 0)
	each := free / 2 / int64(max(1, c.Trees)) // of a sequence
	if !known || kinds.Past(c.Cells) <= each {
		return
	}
	if c.WindowRows = kinds.WindowRows(each); c.WindowRows <= 0 {
		c.WindowRows = kv.NoWindowRows
	}
	r.notes = append(r.notes, fmt.Sprintf("behind the windows of %d layers, rows of the last %d tokens are kept: those of %d would take %s of host memory, and %s are free",
		kinds.Windowed, max(0, c.WindowRows), c.Cells, bytesize.Format(kinds.Past(c.Cells)), bytesize.Floor(free)))
}
