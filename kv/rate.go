package kv

import (
	"github.com/seed4d217819/ebb/internal/timing"
	"github.com/seed4d217819/ebb/tier"
)

// FetchRate measures the rate at which rows are copied to the devices by a few copies of some
// bytes, and returns the bytes a second of the slowest device; 0 if no rows are copied. No step may
// be open.
func (p *Pool) FetchRate(bytes int64) float64 {
	slowest := 0.0
	for _, d := range p.devices {
		if !d.copies || len(d.slots) == 0 {
			continue
		}
		rate, err := p.fetchRate(d, bytes)
		if err != nil {
			continue // there is no memory to measure with: the next step returns the error
		}
		if d.link.Rate > 0 {
			rate = min(rate, d.link.Rate)
		}
		if slowest == 0 || rate < slowest {
			slowest = rate
		}
	}
	return slowest
}

// fetchRate copies part of a slot from host memory.
func (p *Pool) fetchRate(d *device, bytes int64) (float64, error) {
	var r *region
	for _, r = range d.slots[0].views {
		break
	}
	head := int64(r.cells) * r.layout.KeyBytes
	n := int(min(bytes/int64(r.layout.Heads), head) / r.layout.KeyBytes)
	size := int64(n) * r.layout.KeyBytes
	buffer, err := p.hostBuffer(d, size*int64(r.layout.Heads))
	if err != nil {
		return 0, err
	}
	defer buffer.Close()
	took, err := timing.Shortest(4, 0, func() error {
		r.Write(tier.Keys, 0, n, buffer.Bytes(), size)
		return nil
	})
	return float64(size) * float64(r.layout.Heads) / took.Seconds(), err
}
