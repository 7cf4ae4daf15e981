//go:build race

package kv

// raceDetector says that the race detector watches: it would rightly report the walks that are
// broken on purpose.
const raceDetector = true
