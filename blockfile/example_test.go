package blockfile_test

import (
	"context"
	"fmt"
	"os"

	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/session"
	"github.com/seed4d217819/ebb/tier"
)

// A conversation of three tokens is written, and a prompt that begins with two of them finds their rows.
func Example() {
	dir, err := os.MkdirTemp("", "blocks")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, err := blockfile.Open(dir, blockfile.Options{Bytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	defer func() { _ = store.Close() }()

	model := session.Header{
		Architecture: "llama", Weights: "…", TypeK: "f16", TypeV: "f16",
		Layers: []tier.Layout{{Heads: 1, KeyBytes: 2, ValueBytes: 2}},
	}
	root := blockfile.NewRoot(model, 0, []byte("one user's conversations"))
	draft, err := store.Begin(root, []int32{5, 9, 3}, 0)
	if err != nil {
		panic(err)
	}
	defer func() { _ = draft.Close() }()
	for _, block := range draft.Missing() {
		if err := draft.Rows(0, block, make([]byte, 4*blockfile.BlockTokens)); err != nil {
			panic(err)
		}
	}

	match := store.Find(root, []int32{5, 9, 8})
	defer func() { _ = match.Close() }()
	rows, err := match.Read(context.Background(), 0, 0, 1, make([]byte, 4*blockfile.BlockTokens+8192))
	fmt.Println(match.Tokens, match.Blocks(), len(rows), err)
	// Output: 2 1 1024 <nil>
}
