package kv

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/tier"
)

// departure is the layers that have left devices while trees were given room.
type departure struct {
	refused bool // a device has refused memory
	states  bool // states need room
	layers  []int
	visit   int        // recurrent layers whose states have left
	usage   tier.Usage // of the tiers to which they went
}

func (l *departure) add(d *device, layers []int, rows map[*tree]tier.Tier) {
	for _, i := range layers {
		l.layers = append(l.layers, d.placement.Layers[i])
	}
	for _, r := range rows {
		l.usage = l.usage.Plus(r.Usage())
	}
}

// mostNamed is how many layers a line names.
const mostNamed = 8

// report counts the layers that have left, and says so in one line.
func (p *Pool) report(left *departure, demands []demand) {
	if left.visit > 0 {
		p.notices = append(p.notices, fmt.Sprintf("the states of %d recurrent layers went from the device to host memory, from where they visit it (%s)", left.visit, left.reason(demands)))
	}
	if len(left.layers) == 0 {
		return
	}
	p.stats.Demotions += len(left.layers)
	slices.Sort(left.layers)
	names := make([]string, len(left.layers))
	for i, l := range left.layers {
		names[i] = fmt.Sprint(l)
	}
	text := "layer " + names[0]
	if n := len(names); n > 1 {
		text = "layers " + strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	if n := len(names); n > mostNamed {
		text = fmt.Sprintf("%d layers", n)
	}
	to := "host memory"
	switch {
	case left.usage.Disk > 0 && left.usage.Host > 0:
		to = "host memory and the disk"
	case left.usage.Disk > 0:
		to = "the disk"
	}
	p.notices = append(p.notices, fmt.Sprintf("K/V of %s went from the device to %s: %d of %d layers stay (%s)",
		text, to, p.stats.ResidentLayers, len(p.placed), left.reason(demands)))
}

// reason says why layers have left.
func (l *departure) reason(demands []demand) string {
	if l.refused {
		return "the device had no memory for more"
	}
	if l.states {
		return "the states of more sequences need room"
	}
	cells := 0
	for _, d := range demands {
		cells = max(cells, d.past)
	}
	if cells == 0 {
		return "another sequence needs room"
	}
	return fmt.Sprintf("the cache grew past %d tokens", cells)
}

// tell passes on what has been reported. The turn is held, and the pool not locked.
func (p *Pool) tell() {
	if len(p.notices) == 0 {
		return
	}
	for _, n := range p.notices {
		if p.config.notify != nil {
			p.config.notify(n)
		}
	}
	p.notices = nil
}
