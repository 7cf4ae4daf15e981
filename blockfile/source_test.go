package blockfile_test

import (
	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/kv"
)

// A match is restored without an adapter.
var _ interface {
	kv.StateSource
	WindowFrom() int
} = (*blockfile.Match)(nil)
