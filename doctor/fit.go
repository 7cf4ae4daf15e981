package doctor

import "slices"

// Fit is how much of a context a device holds, with K/V of a type.
type Fit struct {
	Device    string `json:"device"`
	Type      string `json:"type"`
	Room      int64  `json:"room_bytes"` // for K/V, beside weights and what a step takes; negative if those do not fit
	Tokens    int    `json:"tokens"`     // with all K/V on the device
	Offloaded int    `json:"offloaded"`  // with K/V in host memory, two layers at a time on the device; 0 on the CPU, whose memory that is
}

// block is the number of tokens by which contexts grow.
const block = 256

// visitors is how many layers are on a device at a time when K/V are offloaded.
const visitors = 2

// cpu is the name of the device that every machine has.
const cpu = "cpu"

// Fits returns, for each device and K/V type, how much of the model's context there is room for. A device whose memory is not
// known has none. Without libraries no device is known, and the CPU stands for itself.
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
			f.Tokens = m.tokens(f.Room, kv.PerToken)
			if !d.cpu() && m.Layers > 0 {
				visiting := visitors * kv.PerToken / int64(m.Layers)
				f.Offloaded = min(m.tokens(f.Room, visiting), m.tokens(machine.Room(), kv.PerToken))
			}
			fits = append(fits, f)
		}
	}
	return fits
}

// tokens returns how many tokens there is room for, in whole blocks and not above the model's context.
func (m Model) tokens(room, perToken int64) int {
	if room <= 0 || perToken <= 0 {
		return 0
	}
	n := min(room/perToken, int64(m.Context))
	if n == int64(m.Context) {
		return m.Context
	}
	return int(n / block * block)
}

// known reports whether ebb runs models of this architecture.
func (m Model) known() bool { return slices.Contains(m.Known, m.Architecture) }
