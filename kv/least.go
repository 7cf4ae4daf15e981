package kv

// Least returns, by device, the fewest bytes of K/V on it with which the cache
// works.
func Least(o Options) []int64 {
	o = o.withDefaults()
	bytes := make([]int64, o.devices())
	for n := range bytes {
		one := o.on(n)
		one.Memory = 1 // a limit, so that all numbers of resident layers are tried
		least, most := one.choices()
		bytes[n] = one.smallest(least, most).DeviceBytes
	}
	return bytes
}

// Blank returns a layer that is in no step, with the rows of some trees: one for
// graphs that are built to be measured.
func Blank(index int, rows []Rows) *Layer { return &Layer{Index: index, blank: rows} }
