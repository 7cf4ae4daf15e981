package plan

import (
	"errors"
	"strings"
	"testing"
)

// hybrid returns a cache of whose layers every fourth keeps rows of 1 KiB, and the others a state of 1 MiB.
func hybrid(layers, cells int) Cache {
	c := Cache{Layers: make([]Layer, layers), Cells: cells, Streams: true}
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
		c := hybrid(8, 1024)
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
	if k := hybrid(8, 1024).Kinds(); k.Recurrent != 6 || k.Full != 2 || k.StateBytes != 6<<20 || k.TokenBytes != 2<<10 {
		t.Errorf("kinds %+v", k)
	}
}

// Errors say what of the least that works is states.
func TestErrorsNameStates(t *testing.T) {
	c := hybrid(8, 1024)
	c.Memory = []int64{10 << 20}
	_, err := c.Place()
	want := "10.0 MiB of device memory is too little for states, which take 12.0 MiB a sequence, and for 2 slots and 0 resident layers of 1024 cells: the least that works is 14.0 MiB"
	if _, ok := errors.AsType[*ShortError](err); !ok || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	c.Memory = nil
	_, err = c.Fit(1024, Budget{Bytes: 10 << 20, Devices: []Device{growing("gpu", 0, 1000, 1)}})
	want = "K/V and states at least 14.0 MiB (states 12.0 MiB): the least that works is 14.1 MiB"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant …%s", err, want)
	}
}

// A step reads each state once and writes the other, of each beam.
func TestAStepReadsAndWritesStates(t *testing.T) {
	r := Request{Layers: hybrid(8, 1024).Layers, Model: Model{Hidden: 64, Vocab: 64, FeedForward: 64}, Context: 1024, DeviceMemory: 1 << 30, HostMemory: 1 << 30}
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
