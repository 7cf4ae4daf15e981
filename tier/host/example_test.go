package host_test

import (
	"context"
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/tier"
	"github.com/seed4d217819/ebb/tier/host"
	"github.com/seed4d217819/ebb/tier/tiertest"
)

// plain is ordinary memory. A device's pinned memory goes the same way.
type plain []byte

func (p plain) Bytes() []byte { return p }
func (p plain) Close()        {}

// Two layers of one KV head; what a layer computed is stored and fetched.
func ExampleTier() {
	layout := tier.Layout{Heads: 1, KeyBytes: 3, ValueBytes: 4}
	t := host.New([]tier.Layout{layout, layout}, func(bytes int64) (tier.Buffer, error) {
		return make(plain, bytes), nil
	})
	defer t.Close()
	ctx := context.Background()
	if err := t.Reserve(ctx, 2); err != nil { // in whole blocks of 256 cells
		log.Fatal(err)
	}

	slot := tiertest.NewMemory(layout, 512)
	slot.SetRow(0, []byte("keyrow0"))
	slot.SetRow(1, []byte("keyrow1"))
	if err := t.Store(ctx, 1, []tier.Run{{Start: 0, N: 2}}, slot); err != nil {
		log.Fatal(err)
	}
	slot.Fill('-')
	if err := t.Fetch(ctx, 1, tier.Run{N: 2}, slot); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %s, %d bytes\n", slot.Row(0), slot.Row(1), t.Usage().Host)
	// Output: keyrow0 keyrow1, 3584 bytes
}
