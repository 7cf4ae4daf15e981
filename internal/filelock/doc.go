// Package filelock keeps two processes from using a file at once.
package filelock
