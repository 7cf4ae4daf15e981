//go:build amd64 && !windows

package product

//go:noescape
func opRead()

// readAddress returns where opRead is. Only benchmarks use it.
//
//go:noescape
func readAddress() uintptr
