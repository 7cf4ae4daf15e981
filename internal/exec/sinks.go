package exec

import (
	"fmt"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/model"
)

// sinks are the attention sinks of a model's layers, in the memory of the device that attends.
type sinks struct {
	layers []*ggml.Tensor // [heads] f32, by layer; nil: the layer has none

	from   []*ggml.Tensor // what the layers' are copies of; nil: they are the model's own
	meta   *ggml.Context
	buffer *ggml.Buffer
}

// sinksOf returns a model's own sinks, which are on the devices of their layers.
func sinksOf(m model.Model) sinks {
	s := sinks{layers: make([]*ggml.Tensor, len(m.Config().Layers))}
	if m, ok := m.(model.WithSinks); ok {
		for l := range s.layers {
			s.layers[l] = m.Sinks(l)
		}
	}
	return s
}

// on returns room for copies of the sinks on the host's device, which attends to layers of others.
func (s sinks) on(b *ggml.Backend) (sinks, error) {
	kind, size := b.BufferType(), int64(0)
	offsets := make([]int64, len(s.layers))
	for l, t := range s.layers {
		if t != nil {
			align := kind.Alignment()
			offsets[l] = (size + align - 1) / align * align
			size = offsets[l] + kind.AllocSize(t)
		}
	}
	out := sinks{layers: make([]*ggml.Tensor, len(s.layers)), from: s.layers}
	if size == 0 {
		return out, nil
	}
	var err error
	if out.buffer, err = b.Alloc(kind, size, ggml.Inputs); err != nil {
		return sinks{}, fmt.Errorf("ebb: memory for the sinks of attention at the host: %w", err)
	}
	out.meta = ggml.NewContext(len(s.layers))
	for l, t := range s.layers {
		if t != nil {
			out.layers[l] = out.meta.New(t.Type(), t.Ne(0))
			out.buffer.Place(out.layers[l], offsets[l])
		}
	}
	return out, nil
}

// fill makes copies what they are copies of.
func (s sinks) fill() {
	for l, t := range s.from {
		if t != nil {
			values := make([]byte, t.Bytes())
			t.Get(values, 0)
			s.layers[l].Set(values, 0)
		}
	}
}

// close frees copies.
func (s sinks) close() {
	if s.buffer != nil {
		s.buffer.Close()
		s.meta.Close()
	}
}
