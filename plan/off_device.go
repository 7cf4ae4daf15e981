package plan

import (
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

// TierError says that K/V off the device have no place.
type TierError struct {
	Host, Disk int64 // bytes that they may take
	Need       int64 // bytes that they take
	Past       int64 // of these, bytes of layers with windows
	MostCells  int   // the largest context that works; 0: none
	States     bool  // it is states, and not K/V, that have no place
	WindowRows int   // the most rows behind windows that work; below 0: none, or there are no windows
}

func (e *TierError) Error() string {
	if e.States {
		return fmt.Sprintf("%s of host memory are too little for %s of states off the device, which lie there alone", bytesize.Floor(e.Host), bytesize.Ceil(e.Need))
	}
	text := fmt.Sprintf("%s of host memory and %s of disk are too little for %s of K/V off the device",
		bytesize.Floor(e.Host), bytesize.Floor(e.Disk), bytesize.Ceil(e.Need))
	if e.Past > 0 {
		text += fmt.Sprintf(", %s of which are behind the windows of layers", bytesize.Format(e.Past))
	}
	if e.MostCells > 0 {
		text += fmt.Sprintf(": a context of at most %d works", e.MostCells)
	}
	return text
}

// placeOff decides where K/V lie that are not on the device alone: rows of layers that stream, and rows
// behind windows. The first tokens of each sequence lie in host memory, the later ones on disk.
func (r Request) placeOff(f *Forecast, m Machine) error {
	streamed, past := f.Placement.rowsOff()
	f.HostMemory = r.HostMemory
	if m.Unified && streamed == 0 && past > 0 { // the device's memory is the host's
		f.HostMemory = max(r.HostMemory, m.HostMemory-f.Device())
	}
	f.HostStates = product(product(f.Placement.StatesOff, int64(f.Placement.States)), int64(r.sequences()))
	if f.HostStates > f.HostMemory {
		return &TierError{Host: f.HostMemory, Need: f.HostStates, States: true, WindowRows: -1}
	}
	if streamed+past == 0 {
		return nil
	}
	host, trees, cells := f.HostMemory-f.HostStates, int64(r.sequences()), f.Placement.Cells
	f.PastCells = f.Placement.pastCells(r.WindowRows)
	of := func(row int64, cells int) int64 { return product(product(row, int64(cells)), trees) }
	within := func(row, bytes int64) int { return int(min(bytes/max(1, of(row, Block))*Block, int64(cells))) }
	f.HostCells = within(sum(streamed, past), host)
	if f.HostCells > f.PastCells {
		f.HostCells = cells
		if streamed > 0 {
			f.HostCells = within(streamed, host-of(past, f.PastCells))
		}
	}
	f.HostPast = of(past, min(f.HostCells, f.PastCells))
	f.DiskPast = of(past, f.PastCells) - f.HostPast
	f.Host, f.Disk = sum(of(streamed, f.HostCells), f.HostPast), sum(of(streamed, cells-f.HostCells), f.DiskPast)
	if f.Disk > r.DiskMemory {
		short := &TierError{Host: host, Disk: r.DiskMemory, Need: sum(f.Host, f.Disk), Past: sum(f.HostPast, f.DiskPast), WindowRows: -1}
		if room := sum(host, r.DiskMemory) - of(streamed, cells); past > 0 && room > 0 {
			short.WindowRows = windowRows(product(past, trees), slices.Max(f.Placement.Rings), room)
		}
		return short
	}
	return nil
}
