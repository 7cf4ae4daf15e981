package main

import (
	"errors"
	"os"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/kv"
)

// sizes are the bytes of a model and of its K/V with a full context.
type sizes struct {
	Weights int64            `json:"weights_bytes"`
	KV      map[string]int64 `json:"kv_bytes"` // by type
	layers  int64
}

func readSizes(path string, context int) (s sizes, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := os.Stat(path)
	if err != nil {
		return s, err
	}
	c, err := ebb.ReadConfig(f)
	if err != nil {
		return s, err
	}
	s = sizes{Weights: info.Size(), KV: map[string]int64{}, layers: int64(len(c.Layers))}
	for _, name := range []string{"f16", "q8_0"} {
		typ, err := kv.ParseType(name)
		if err != nil {
			return s, err
		}
		for _, l := range c.Layers {
			if l.SharesKV {
				continue
			}
			s.KV[name] += int64(context) * kv.Shape{Heads: l.KVHeads, KeyDim: l.KeyDim, ValueDim: l.ValueDim}.Bytes(typ, typ)
		}
	}
	return s, nil
}

// hostMemory returns how many MiB of K/V ebb may keep in host memory in a cgroup of a size.
func (o *options) hostMemory(s sizes, kvType string, size int) int {
	if o.HostMemory >= 0 || o.Cache == kv.Auto.String() {
		return max(o.HostMemory, 0)
	}
	const itself = 80 << 20 // the program, its buffers and its pages of files; 60 MiB were measured
	slots := kv.DefaultSlots * s.KV[kvType] / s.layers
	return int(max(0, int64(size)<<20-s.Weights-slots-itself) >> 20)
}
