// Package memory reads what memory the process takes, and gives back what nobody uses.
package memory
