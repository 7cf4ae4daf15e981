package plan

import (
	"errors"
	"strings"
	"testing"
)

// hybrid returns a cache of 8 layers, of which every fourth keeps rows of 1 KiB and the others a state of
// 1 MiB, for 1024 cells.
func hybrid() Cache {
	c := Cache{Layers: make([]Layer, 8), Cells: 1024, Streams: true}
	for l := range c.Layers {
		c.Layers[l] = Layer{NoRows: true, StateBytes: 1 << 20}
		if l%4 == 3 {
			c.Layers[l] = Layer{RowBytes: 1 << 10}
		}
	}
	return c
}

// Recurrent layers stay, and each sequence has two states in them, whatever the context.
func TestStatesAreCountedForEachSequence(t *testing.T) {
	for _, test := range []struct{ trees, beams, states int }{{0, 0, 2}, {1, 1, 2}, {3, 1, 2}, {1, 4, 8}, {2, 3, 6}} {
		c := hybrid()
		c.Trees, c.Beams = test.trees, test.beams
		p, err := placeOne(c)
		if err != nil {
			t.Fatal(err)
		}
		states := int64(test.states) * 6 << 20
		if got := marks(p.Resident); got != "RRRsRRRs" || p.StateBytes != 6<<20 || p.States != test.states || p.StatesBytes() != states || p.TreeBytes != states {
			t.Errorf("%+v: layers %s, %d states a tree of %d bytes, %d in all", test, got, p.States, p.StateBytes, p.TreeBytes)
		}
		if want := int64(max(1, test.trees))*states + 2<<20; p.DeviceBytes != want {
			t.Errorf("%+v: %d bytes on the device; want %d", test, p.DeviceBytes, want)
		}
	}
	if k := hybrid().Kinds(); k.Recurrent != 6 || k.Full != 2 || k.StateBytes != 6<<20 || k.TokenBytes != 2<<10 {
		t.Errorf("kinds %+v", k)
	}
}

// Errors say what of the least that works is states.
func TestErrorsNameStates(t *testing.T) {
	c := hybrid()
	c.Memory = []int64{3 << 20}
	_, err := c.Place()
	want := "3.0 MiB of device memory is too little for states, which take 2.0 MiB a sequence, and for 2 slots and 0 resident layers of 1024 cells: the least that works is 4.0 MiB, or a context of at most 512"
	if _, ok := errors.AsType[*ShortError](err); !ok || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	c.Memory = nil
	c.Streams = false
	_, err = c.Fit(1024, Budget{Bytes: 10 << 20, Devices: []Device{growing("gpu", 0, 1000, 1)}})
	want = "K/V and states at least 14.0 MiB (states 12.0 MiB): the least that works is 14.1 MiB"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant …%s", err, want)
	}
}

// Where no layer can leave any more and the states do not fit, they visit the device one layer at a time.
func TestStatesLeaveWhereNotEvenTheyFit(t *testing.T) {
	c := hybrid()
	for _, test := range []struct {
		memory, device, off int64
	}{{15 << 20, 14 << 20, 0}, {14 << 20, 14 << 20, 0}, {14<<20 - 1, 4 << 20, 6 << 20}, {4 << 20, 4 << 20, 6 << 20}} {
		c.Memory = []int64{test.memory}
		p, err := placeOne(c)
		if err != nil {
			t.Fatal(err)
		}
		if p.DeviceBytes != test.device || p.StatesOff != test.off {
			t.Errorf("%d bytes allowed: %d taken, %d of a state off the device; want %d and %d", test.memory, p.DeviceBytes, p.StatesOff, test.device, test.off)
		}
	}
	c.Memory, c.IfNeeded = nil, true
	p, err := placeOne(c)
	if err != nil || p.Streamed != 0 || p.StatesOff != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	if less, ok := p.DemoteFor([]int{1024}, 14<<20-1, 0, 2); !ok || less.StatesOff != 6<<20 || less.Take([]int{1024}) != 4<<20 {
		t.Errorf("demoted to %+v, %t: want 4 MiB, with the states off the device", less, ok)
	}
	if _, ok := p.DemoteFor([]int{1024}, 4<<20-1, 0, 2); ok {
		t.Error("less than the least was enough")
	}
	c.StatesStay, c.Memory = []bool{true}, []int64{14<<20 - 1}
	if p, err := placeOne(c); err == nil {
		t.Errorf("states that stay: %+v; want an error", p)
	}
}

// States that visit the device come over the link in each step, and take host memory.
func TestAForecastCountsStatesThatVisit(t *testing.T) {
	r := Request{Layers: hybrid().Layers, Model: Model{Hidden: 64, Vocab: 64, FeedForward: 64}, Context: 1024, Sequences: 2, HostMemory: 1 << 30}
	m := Machine{DeviceMemory: 1 << 30, DeviceRate: 1e11, HostMemory: 1 << 30, LinkRate: 1e10, DiskRate: 1e9}
	r.Footprint = func(int) (Footprint, error) { return Footprint{}, nil }
	r.DeviceMemory = 20 << 20
	f, err := r.On(m)
	if err != nil {
		t.Fatal(err)
	}
	if f.HostStates != 2*2*6<<20 || f.Full.Moved != 2*6<<20 {
		t.Errorf("%d bytes of states in host memory, %d bytes come over the link; want %d and %d", f.HostStates, f.Full.Moved, 2*2*6<<20, 2*6<<20)
	}
	if least := float64(2*2*6<<20) / m.LinkRate; f.Full.Expected.Compute < least {
		t.Errorf("%g s of computing; want at least the %g s in which states come and go", f.Full.Expected.Compute, least)
	}
	r.HostMemory = 23 << 20
	_, err = r.On(m)
	if short, ok := errors.AsType[*TierError](err); !ok || short.Need != 24<<20 {
		t.Errorf("states that host memory has no room for: %v", err)
	}
}

// A step reads each state once and writes the other, of each beam.
func TestAStepReadsAndWritesStates(t *testing.T) {
	r := Request{Layers: hybrid().Layers, Model: Model{Hidden: 64, Vocab: 64, FeedForward: 64}, Context: 1024, DeviceMemory: 1 << 30, HostMemory: 1 << 30}
	m := Machine{DeviceMemory: 1 << 30, DeviceRate: 1e11, HostMemory: 1 << 30, LinkRate: 1e10, DiskRate: 1e9}
	for beams := range 3 {
		r.Beams = beams
		f, err := r.On(m)
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(max(1, beams))*12<<20 + 2<<20; f.Full.Read != want {
			t.Errorf("%d beams: a step reads %d bytes; want %d", beams, f.Full.Read, want)
		}
	}
	r.Layers[0].RowBytes = 1
	if _, err := r.On(m); err == nil || !strings.Contains(err.Error(), "layer 0 keeps no rows, and 1 bytes a token") {
		t.Errorf("a recurrent layer with rows: %v", err)
	}
}
