package plan

import "slices"

// Take returns the bytes that the device's K/V take with sequence trees that have room for some
// cells each, in whole blocks. Slots have room for the largest tree.
func (p Placement) Take(trees []int) int64 {
	bytes, largest := int64(0), 0
	for _, cells := range trees {
		largest = max(largest, cells)
		bytes = sum(bytes, p.treeBytes(cells))
	}
	return sum(bytes, product(product(int64(p.Slots), p.streamedRow()), int64(largest)))
}

// streamedRow returns the bytes of a cell of the largest streamed layer.
func (p Placement) streamedRow() (bytes int64) {
	for i, row := range p.Rows {
		if !p.Resident[i] {
			bytes = max(bytes, row)
		}
	}
	return bytes
}

// Demote returns the placement with fewer resident layers, of which so many stay: all that are fixed
// at least. Those that stay are among those that did, and are spread between the streamed ones as
// evenly as that allows. slots is how many layers visit the device at a time, if as many stream.
func (p Placement) Demote(stay, slots int) Placement {
	p.Resident = slices.Clone(p.Resident)
	for resident := len(p.Layers) - p.Streamed; resident > max(stay, p.fixed()); resident-- {
		p.Resident[mostCrowded(p.Resident, p.Fixed)] = false
		p.Streamed++
	}
	return p.sized(slots, 1)
}

// fixed returns how many layers stay whatever the memory.
func (p Placement) fixed() (n int) {
	for _, is := range p.Fixed {
		if is {
			n++
		}
	}
	return n
}

// DemoteFor returns the placement with as many resident layers as suffice for the memory, and no
// more than it has, for trees that have room for some cells each. No fewer than least stay. If that
// does not suffice, states leave; and if that does not either, ok is false, and the placement is the one
// that takes the least.
func (p Placement) DemoteFor(trees []int, memory int64, least, slots int) (_ Placement, ok bool) {
	smallest, bytes := p, p.Take(trees)
	least = max(least, p.fixed())
	for stay := len(p.Layers) - p.Streamed; bytes > memory; {
		if stay--; stay < least {
			left, ok := smallest.StatesLeave(slots)
			return left, ok && left.Take(trees) <= memory
		}
		p = p.Demote(stay, slots)
		if take := p.Take(trees); take < bytes {
			smallest, bytes = p, take
		}
	}
	return smallest, true
}

// mostCrowded returns the chosen layer, of those that are not fixed, without which layers are spread
// the most evenly: no streamed layers follow each other where that can be avoided, and they are far
// from each other. Layers are used in a circle, as one step follows the other.
func mostCrowded(chosen, fixed []bool) (layer int) {
	best := [2]int{-1, 0}
	for l, is := range chosen {
		if !is || fixed[l] {
			continue
		}
		chosen[l] = false
		score := [2]int{squares(chosen, false), squares(chosen, true)}
		chosen[l] = true
		if best[0] < 0 || slices.Compare(score[:], best[:]) < 0 {
			best, layer = score, l
		}
	}
	return layer
}

// squares returns the sum of the squares of the lengths of the runs, in a circle, of layers that are
// chosen or not.
func squares(chosen []bool, which bool) (total int) {
	n := len(chosen)
	first := slices.Index(chosen, !which) // a run begins behind it
	if first < 0 {
		return n * n
	}
	run := 0
	for i := range n {
		if chosen[(first+1+i)%n] == which {
			run++
			continue
		}
		total, run = total+run*run, 0
	}
	return total
}
