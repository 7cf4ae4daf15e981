// Package servicetest has services for tests: a tiny model with random weights, whose answers a test
// may write.
package servicetest
