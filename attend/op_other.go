//go:build !amd64 || windows

package attend

import "github.com/seed4d217819/ebb/isa"

func vectorOp(isa.ISA) uintptr { panic("attend: no kernel") }
