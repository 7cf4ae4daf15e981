package doctor

import (
	"slices"

	"github.com/seed4d217819/ebb/plan"
)

// Fit is how much of a context a device has room for with K/V of one type.
type Fit struct {
	Device    string `json:"device"`
	Type      string `json:"type"`
	Room      int64  `json:"room_bytes"` // for K/V, beside the weights and the memory for a step; negative if those do not fit
	Tokens    int    `json:"tokens"`     // with all K/V on the device
	Offloaded int    `json:"offloaded"`  // with K/V in host memory and two layers at a time on the device; 0 on the CPU, whose memory that is
}

// cpu is the name of the device that every machine has.
const cpu = "cpu"

// Fits returns, for each device and K/V type, how much of the model's context there is room for. It
// leaves out devices whose memory is not known. Without libraries no device is known, and Fits
// assumes the CPU alone.
func Fits(m Model, machine Machine, devices []Device) []Fit {
	if len(devices) == 0 {
		devices = []Device{{Name: cpu, Type: cpu}}
	}
	var fits []Fit
	for _, d := range devices {
		free := d.Free
		if d.cpu() {
			free = machine.Room()
		}
		if free == 0 {
			continue
		}
		for _, kv := range m.KV {
			f := Fit{Device: d.Name, Type: kv.Type, Room: free - m.Weights - m.Step}
			if d.cpu() { // where rows behind windows lie beside the others
				f.Tokens = m.tokens(kv, f.Room, false, kv.Past)
			} else {
				f.Tokens = min(m.tokens(kv, f.Room, false, 0), m.within(kv.Past, machine.Room()))
				f.Offloaded = min(m.tokens(kv, f.Room, true, 0), m.within(kv.PerToken+kv.Past, machine.Room()))
			}
			fits = append(fits, f)
		}
	}
	return fits
}

// within returns how much of the context fits into room bytes, in whole blocks, if a token takes some.
func (m Model) within(each, room int64) int {
	if each <= 0 {
		return m.Context
	}
	return int(min(max(0, room)/(each*plan.Block)*plan.Block, int64(m.Context)))
}

// tokens returns how much of the context fits into room bytes, with all layers there, or, if
// streams, with the layers that are being computed. beside is what a token takes there besides.
func (m Model) tokens(kv KV, room int64, streams bool, beside int64) int {
	if room <= 0 || kv.PerToken <= 0 || m.Layers <= 0 {
		return 0
	}
	c := plan.Cache{Layers: slices.Clone(kv.Layers), Cells: m.Context, Streams: streams, Memory: []int64{room}}
	if c.Layers == nil {
		for l := range int64(m.Layers) { // equally large, up to a byte
			layers := int64(m.Layers)
			c.Layers = append(c.Layers, plan.Layer{RowBytes: (l+1)*kv.PerToken/layers - l*kv.PerToken/layers})
		}
	}
	if beside > 0 {
		c.Layers = append(c.Layers, plan.Layer{RowBytes: beside})
	}
	return min(c.MostCells(), m.Context)
}

// known reports whether ebb runs models of this architecture.
func (m Model) known() bool { return slices.Contains(m.Known, m.Architecture) }
