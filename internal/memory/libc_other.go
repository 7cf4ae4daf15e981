//go:build !linux

package memory

func settle() {}

func trim() {}
