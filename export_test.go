package ebb

// WithLimit returns the options with a limit on the bytes that may be allocated on each device in
// all, for tests of running out.
func (o Options) WithLimit(bytes int64) Options {
	o.limit = bytes
	return o
}
