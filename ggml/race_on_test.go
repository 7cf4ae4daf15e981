//go:build race

package ggml

// underRace says that the race detector is on; sync.Pool then drops values at random.
const underRace = true
