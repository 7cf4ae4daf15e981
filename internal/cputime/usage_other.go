//go:build !unix

package cputime

// Process is not known here.
func Process() (u Usage, ok bool) { return Usage{}, false }
