package session_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed4d217819/ebb/session"
	"github.com/seed4d217819/ebb/tier"
)

// Two tokens of a model with one layer are saved and read.
func Example() {
	dir, err := os.MkdirTemp("", "session")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "talk.ebb")

	header := session.Header{
		Architecture: "llama", Weights: "…", TypeK: "f16", TypeV: "f16",
		Layers: []tier.Layout{{Heads: 1, KeyBytes: 2, ValueBytes: 2}}, Tokens: []int32{5, 9},
	}
	w, err := session.Create(path, header)
	if err != nil {
		panic(err)
	}
	defer func() { _ = w.Close() }()
	if err := w.Write(0, 0, make([]byte, 4*session.BlockCells)); err != nil {
		panic(err)
	}
	if err := w.Commit(); err != nil {
		panic(err)
	}

	f, err := session.Open(path)
	if err != nil {
		panic(err)
	}
	defer func() { _ = f.Close() }()
	fmt.Println(f.Header().Tokens, f.Header().Fits(header), f.Verify())
	// Output: [5 9] <nil> <nil>
}
