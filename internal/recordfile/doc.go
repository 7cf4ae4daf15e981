// Package recordfile keeps small records in the files of a folder, or in memory, and of these the ones that
// were used last.
//
// It has one noun: a [Store]. A record is some bytes under a name, a file each, which is written whole or not
// at all, whatever ends the process.
package recordfile
