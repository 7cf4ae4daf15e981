//go:build !race

package ggml

const underRace = false
