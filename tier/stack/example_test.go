package stack_test

import (
	"context"
	"fmt"
	"os"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/stack"
)

// 1 MiB of host memory holds the first cells of a sequence, and a folder the others.
func ExampleNew() {
	dir, err := os.MkdirTemp("", "rows")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	folder, err := disk.Open(disk.Options{Dir: dir})
	if err != nil {
		panic(err)
	}
	places, m := stack.New(host.NewExact, folder.New, 1<<20), &memory{left: 8 << 20}
	rows := places.New([]tier.Layout{{Heads: 2, KeyBytes: 64, ValueBytes: 64}}, m.alloc) // 256 bytes a cell
	defer func() { _ = rows.Close() }()
	if err := rows.Reserve(context.Background(), 10_000); err != nil {
		panic(err)
	}
	fmt.Printf("%d MiB of host memory\n", (8<<20-m.left)>>20)
	fmt.Printf("%.1f MiB in files\n", float64(folder.Bytes())/(1<<20))
	// Output:
	// 1 MiB of host memory
	// 2.0 MiB in files
}
