package kv_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tier/host"
)

// A cache of four layers, of which two at a time are on the device. A model computes where the
// comment stands.
func Example() {
	library, err := ggml.Load()
	if err != nil {
		log.Fatal(err)
	}
	device, err := library.Device("cpu")
	if err != nil {
		log.Fatal(err)
	}
	backend, err := device.Open(ggml.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()

	shape := kv.Shape{Heads: 2, KeyDim: 32, ValueDim: 32}
	pool, err := kv.NewPool(kv.Options{
		Policy: kv.Offloaded, Layers: []kv.Shape{shape, shape, shape, shape},
		TypeK: ggml.F16, TypeV: ggml.F16, Cells: 1024,
		ForcedCopies: true, Tier: host.New, // on a CPU rows would be used in place
	}, backend)
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()

	seq := pool.NewSeq()
	for _, tokens := range [][]int32{{11, 12, 13}, {14}} { // a prompt, and a token to decode
		if err := step(pool, seq, tokens); err != nil {
			log.Fatal(err)
		}
	}
	s := pool.Stats()
	fmt.Println(seq.Len(), "tokens")
	fmt.Println(s.DeviceBytes, "bytes on the device:", s.StreamedLayers, "layers take turns in 2 slots")
	fmt.Println(s.StoredBytes, "bytes stored")
	// Output:
	// 4 tokens
	// 524288 bytes on the device: 4 layers take turns in 2 slots
	// 4096 bytes stored
}

func step(pool *kv.Pool, seq *kv.Seq, tokens []int32) (err error) {
	ctx := context.Background()
	step, err := pool.Begin(ctx, []kv.Work{{Seq: seq, Tokens: tokens}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, step.Close()) }()
	for layer, err := range step.Layers(ctx) { // its rows are here, the next ones on their way
		if err != nil {
			return err
		}
		for _, chunk := range step.Chunks() {
			_, _ = layer.Rows(0), chunk // compute: write the new rows, attend to all
		}
	}
	return step.Commit()
}
