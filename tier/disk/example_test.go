package disk_test

import (
	"context"
	"fmt"
	"os"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/disk"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

// plain is ordinary memory for buffers.
type plain []byte

func (b plain) Bytes() []byte { return b }
func (b plain) Close()        {}

// The rows of a layer go to a folder, of which 64 MiB may be used, and come back.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "rows")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, err := disk.Open(disk.Options{Dir: dir, Bytes: 64 << 20})
	if err != nil {
		panic(err)
	}
	layout := tier.Layout{Heads: 2, KeyBytes: 64, ValueBytes: 64}
	rows := store.New([]tier.Layout{layout}, func(n int64) (tier.Buffer, error) { return plain(make([]byte, n)), nil })
	defer func() { _ = rows.Close() }()

	device := tiertest.NewMemory(layout, 1000)
	copy(device.Piece(tier.Keys, 1, 999), "the last key of the second head")
	ctx := context.Background()
	if err := rows.Reserve(context.Background(), 1000); err != nil {
		panic(err)
	}
	if err := rows.Store(ctx, 0, []tier.Run{{N: 1000}}, device); err != nil {
		panic(err)
	}
	device.Fill(0)
	if err := rows.Fetch(ctx, 0, tier.Run{N: 1000}, device); err != nil {
		panic(err)
	}
	fmt.Printf("%.31s\n", device.Piece(tier.Keys, 1, 999))
	// Output: the last key of the second head
}
