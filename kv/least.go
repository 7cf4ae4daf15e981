package kv

// Least returns, by device, the fewest bytes of K/V on it with which the cache
// works.
func Least(o Options) []int64 { return o.Plan().Least() }

// Streamed returns, by layer, whether its rows leave its device. Options for
// which memory does not suffice stream no layer.
func Streamed(o Options) []bool { return o.Plan().Streamed() }

// MostCells returns the largest capacity, in whole blocks and not above Cells,
// for which each device's memory suffices; 0 if none does.
func MostCells(o Options) int { return o.Plan().MostCells() }

// Blank returns a layer that is in no step, with the rows of some trees: one for
// graphs that are built to be measured.
func Blank(index int, rows []Rows) *Layer { return &Layer{Index: index, blank: rows} }
