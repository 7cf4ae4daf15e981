package devicemap

import (
	"errors"
	"fmt"
	"strings"
)

// WithCPUExperts has the CPU compute the experts of the last n layers, or of all if there are fewer,
// where another device computes the layer; 0: of none. has says by layer which have experts. With
// played the CPU plays a device that has memory of its own, and so it computes the experts of its own
// layers apart from them too. The error says that the model has no experts.
func (m Assignment) WithCPUExperts(n int, has []bool, played bool) (Assignment, error) {
	if n < 0 {
		return m, fmt.Errorf("ebb: the experts of %d layers on the CPU: want at least 0", n)
	}
	m.Experts = nil
	if n == 0 {
		return m, nil
	}
	experts, found, moved := make([]bool, len(m.Layers)), false, false
	for l, device := range m.Layers {
		if l >= len(has) || !has[l] {
			continue
		}
		found = true
		experts[l] = l >= len(m.Layers)-n && (played || !strings.EqualFold(device, "cpu"))
		moved = moved || experts[l]
	}
	if !found {
		return m, errors.New("ebb: experts on the CPU: the model has none, its layers are dense; if the device has no room for it, compute only some of the layers there (GPULayers, --gpu-layers)")
	}
	if moved {
		m.Experts = experts
	}
	return m, nil
}
