// Package doctor says, from readings of a machine, whether ebb can run there and what to fix.
//
// [Readings] are what was found and measured. [ReadMachine] reads what Linux tells of processors, memory and limits from its
// files, [MeasureDisk] times a folder's disk; libraries, devices and the model are for the caller to fill in. [Findings] is
// pure: it turns readings into faults, each with what to do about it, in words.
package doctor
