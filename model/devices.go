package model

import (
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/product"
)

// Devices are the devices on which a model computes.
type Devices struct {
	Input  *ggml.Backend   // looks the tokens up
	Layers []*ggml.Backend // by layer; a layer beyond the end is computed by Input
	Output *ggml.Backend   // scores the next token

	// Room is how many bytes of host memory are free; 0: that is not known; [NoRoom]: none. So much of
	// the weights that are used where their file is mapped is read at once, ahead of the first step, and
	// those that would be copied there must fit.
	Room int64

	// Left is how many bytes of Room copies of weights leave to all else.
	Left int64

	// Experts compute the experts of layers that another device computes, by layer; nil, and a layer
	// beyond the end: the layer's device does.
	Experts []*ggml.Backend

	// Products multiply by quantised weights on the CPU, if it is among the devices. The weights that
	// they take are packed. The zero value leaves all products to ggml.
	Products product.Products

	// Mapped leaves the weights of the CPU where their files are mapped: they are neither packed nor
	// copied into an order of ggml's that is faster. It is for models that memory has no room for.
	Mapped bool
}

// products returns how a device multiplies by packed weights.
func (d Devices) products(b *ggml.Backend) product.Products {
	if b.Device().Type() != ggml.CPU || d.Mapped {
		return product.Products{}
	}
	return d.Products
}

// plain returns how a device multiplies by a matrix of numbers as it is in the file; zero: by ggml.
func (d Devices) plain(b *ggml.Backend, source gguf.Tensor) product.Products {
	if b.Device().Type() != ggml.CPU || len(source.Shape) != 2 || !d.Products.TakesPlain(ggml.Type(source.Type), source.Shape[0]) {
		return product.Products{}
	}
	return d.Products
}

// faster returns the memory of a device in which weights have an order that it computes faster with.
func (d Devices) faster(b *ggml.Backend) []ggml.BufferType {
	if b.Device().Type() == ggml.CPU && d.Mapped {
		return nil
	}
	return b.ExtraBufferTypes()
}

// all returns each device once.
func (d Devices) all() (backends []*ggml.Backend) {
	for _, b := range slices.Concat([]*ggml.Backend{d.Input, d.Output}, d.Layers, d.Experts) {
		if b != nil && !slices.Contains(backends, b) {
			backends = append(backends, b)
		}
	}
	return backends
}
