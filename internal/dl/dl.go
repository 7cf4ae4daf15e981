// Package dl loads shared libraries and finds their functions, on each operating system in its own
// way. A library stays loaded for the rest of the process, unless Close is called.
package dl

// Library is the system's handle of a loaded library.
type Library uintptr
