// Package doctor finds out, from readings of a machine, whether ebb can run there and what to fix.
//
// [Readings] hold what was found and measured. [ReadMachine] reads processors, memory and limits
// from the files in which Linux reports them, and [MeasureDisk] times a folder's disk with a
// [DiskFile]; the caller fills in the libraries, the devices and the model. [Findings] is pure: it turns readings into
// faults and says in words what to do about each.
package doctor
