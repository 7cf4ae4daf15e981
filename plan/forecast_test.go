package plan

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A machine of round figures: a step that reads 1000 bytes computes for a second, and the link is ten
// times and the disk a hundred times slower.
var round = Machine{
	Name: "round", DeviceMemory: 1 << 30, DeviceRate: 1000, HostMemory: 1 << 30, LinkRate: 100, DiskRate: 10,
}

// asked is a request for 4 layers of 8 bytes a cell, with weights of 1000 bytes and steps that take
// next to nothing.
func asked(cells int) Request {
	return Request{
		Model: Model{Weights: 1000}, Layers: uniform(true, 4, 0).Layers, StepWeights: 1000, Context: cells,
		DeviceMemory: 1 << 30, HostMemory: 1 << 30,
	}
}

// beside sets the device memory to what weights and steps take and some bytes for K/V.
func (r Request) beside(kv int64) Request {
	m := r.Model
	m.Context = r.Context
	r.DeviceMemory = m.Footprint().Total() + kv
	return r
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(b)) }

func TestForecastsOfAStep(t *testing.T) {
	const layer = 1024 * rowBytes // bytes of a layer with 1024 cells
	disk := func(r Request, hostCells int64) Request {
		r.HostMemory, r.DiskMemory = hostCells*4*rowBytes, 1<<30
		return r
	}
	unified, few := round, round
	unified.Unified = true
	two := asked(1024).beside(2 * layer)
	two.Sequences = 2
	one := asked(1024).beside(layer)
	one.Slots = 1
	for _, test := range []struct {
		name       string
		r          Request
		m          Machine
		resident   int
		host, disk int64
		compute    float64
		link, read float64
		seconds    float64
		limit      Limit
	}{
		{"all is resident", asked(1024), few, 4, 0, 0, 33.768, 0, 0, 33.768, ByCompute},
		{"no layer is", asked(1024).beside(2 * layer), few, 0, 4 * layer, 0, 33.768, 327.68, 0, 327.68, ByLink},
		{"one layer is: of three that stream one has a slot to itself", asked(1024).beside(3 * layer), few, 1, 3 * layer, 0, 33.768, 163.84, 0, 163.84, ByLink},
		{"one slot: nothing overlaps", one, few, 0, 4 * layer, 0, 33.768, 327.68, 0, 361.448, ByLink},
		{"two sequences read the weights once", two.beside(2 * layer), few, 0, 8 * layer, 0, 66.536, 655.36, 0, 655.36, ByLink},
		{
			"the first half is in host memory", disk(asked(1024).beside(2*layer), 512), few,
			0, 2 * layer, 2 * layer, 33.768, 327.68, 1638.4, 1638.4, ByDisk,
		},
		{"all is on disk", disk(asked(1024).beside(2*layer), 0), few, 0, 0, 4 * layer, 33.768, 327.68, 3276.8, 3276.8, ByDisk},
		{"a CPU streams to disk alone", disk(asked(1024).beside(2*layer), 512), unified, 0, 2 * layer, 2 * layer, 33.768, 163.84, 1638.4, 1638.4, ByDisk},
		{"a CPU with room needs no disk", disk(asked(1024), 512), unified, 4, 0, 0, 33.768, 0, 0, 33.768, ByCompute},
	} {
		f, err := test.r.On(test.m)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		resident := 4 - f.Placement.Streamed
		if resident != test.resident || f.Host != test.host || f.Disk != test.disk {
			t.Errorf("%s: %d layers resident, %d bytes in host memory, %d on disk; want %d, %d, %d",
				test.name, resident, f.Host, f.Disk, test.resident, test.host, test.disk)
		}
		d := f.Full
		if !near(d.Compute, test.compute) || !near(d.Link, test.link) || !near(d.Disk, test.read) || !near(d.Seconds, test.seconds) || d.LimitedBy != test.limit {
			t.Errorf("%s: computes %g s, link %g, disk %g, in all %g, limited by %s; want %g, %g, %g, %g, %s", test.name,
				d.Compute, d.Link, d.Disk, d.Seconds, d.LimitedBy, test.compute, test.link, test.read, test.seconds, test.limit)
		}
		if want := float64(test.r.sequences()) / d.Seconds; !near(d.PerSecond, want) {
			t.Errorf("%s: %g tokens a second, want %g", test.name, d.PerSecond, want)
		}
		if f.Device() > test.r.DeviceMemory {
			t.Errorf("%s: %d bytes on the device, want at most %d", test.name, f.Device(), test.r.DeviceMemory)
		}
	}
}

func TestHalfOfTheContextReadsTheDiskOnlyForLaterCells(t *testing.T) {
	r := asked(1024).beside(2 * 1024 * rowBytes)
	r.HostMemory, r.DiskMemory = 768*4*rowBytes, 1<<30
	f, err := r.On(round)
	if err != nil {
		t.Fatal(err)
	}
	if f.HostCells != 768 || f.Half.Depth != 512 || f.Half.FromDisk != 0 || f.Full.FromDisk != 256*4*rowBytes {
		t.Errorf("%d cells in host memory; at depth %d %d bytes from disk, at %d %d; want 768, 512, 0, 1024, 8192",
			f.HostCells, f.Half.Depth, f.Half.FromDisk, f.Full.Depth, f.Full.FromDisk)
	}
}

func TestAPlanThatDoesNotWorkNamesWhatWould(t *testing.T) {
	const layer = 1024 * rowBytes
	short := asked(1024).beside(2*layer - 1)
	if _, err := short.On(round); err == nil {
		t.Error("a device that lacks a byte: no error")
	} else if e, ok := errors.AsType[*BudgetError](err); !ok || e.Footprint.Total()+e.KV != short.DeviceMemory+1 || e.MostCells != 768 {
		t.Errorf("a device that lacks a byte: %v, want the least bytes and a context of 768", err)
	}
	host := asked(1024).beside(2 * layer)
	host.HostMemory = 4*layer - 1
	if _, err := host.On(round); err == nil {
		t.Error("host memory that lacks a byte: no error")
	} else if e, ok := errors.AsType[*TierError](err); !ok || e.Need != 4*layer || e.MostCells != 768 {
		t.Errorf("host memory that lacks a byte: %v, want that %d bytes are needed, and a context of 768", err, 4*layer)
	}
	host.Context = tierError(t, host).MostCells
	if _, err := host.On(round); err != nil {
		t.Errorf("the context that was said to work: %v", err)
	}
	cpu := round
	cpu.Unified = true
	if _, err := asked(1024).beside(2 * layer).On(cpu); !strings.Contains(err.Error(), "K/V at least 32.0 KiB") {
		t.Errorf("a CPU without a disk: %v, want that all K/V need room", err)
	}
}

// tierError returns the tier error of a request.
func tierError(t *testing.T, r Request) *TierError {
	t.Helper()
	_, err := r.On(round)
	short, ok := errors.AsType[*TierError](err)
	if !ok {
		t.Fatalf("got %v, want a TierError", err)
	}
	return short
}

func TestAPlanKeepsItsBudgets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := asked(rapid.IntRange(1, 10_000).Draw(t, "cells"))
		r.Layers = slices.Repeat([]Layer{{RowBytes: rapid.Int64Range(1, 4096).Draw(t, "row")}}, rapid.IntRange(1, 40).Draw(t, "layers"))
		if rapid.Bool().Draw(t, "windows") {
			for l := range r.Layers {
				r.Layers[l].Window = rapid.SampledFrom([]int{0, 16, 1000}).Draw(t, "window")
			}
		}
		r.Sequences, r.Slots = rapid.IntRange(0, 4).Draw(t, "sequences"), rapid.IntRange(0, 4).Draw(t, "slots")
		r.HeadWeights = rapid.Int64Range(0, r.StepWeights).Draw(t, "head")
		r.DeviceMemory = rapid.Int64Range(1, 1<<31).Draw(t, "device")
		r.HostMemory, r.DiskMemory = rapid.Int64Range(0, 1<<28).Draw(t, "host"), rapid.Int64Range(0, 1<<31).Draw(t, "disk")
		m := round
		m.Unified = rapid.Bool().Draw(t, "unified")
		f, err := r.On(m)
		if err != nil {
			return
		}
		streamed, past := f.Placement.rowsOff()
		host := r.HostMemory
		if m.Unified && streamed == 0 {
			host = max(host, m.HostMemory-f.Device())
		}
		if f.Device() > r.DeviceMemory || f.Host > host || f.Disk > r.DiskMemory {
			t.Fatalf("%d, %d and %d bytes, of %d, %d and %d", f.Device(), f.Host, f.Disk, r.DeviceMemory, host, r.DiskMemory)
		}
		cells := int64(WholeBlocks(r.Context)) * int64(r.sequences())
		if want := (streamed + past) * cells; f.Host+f.Disk != want || f.HostPast+f.DiskPast != past*cells {
			t.Fatalf("%d bytes off the device, %d of them behind windows; want %d and %d", f.Host+f.Disk, f.HostPast+f.DiskPast, want, past*cells)
		}
		if d := f.Full; d.Expected.Seconds < d.Seconds*(1-1e-9) || f.Half.Expected.Seconds > d.Expected.Seconds || d.Expected.PerSecond <= 0 {
			t.Fatalf("a step takes at least %g s, and %+v are expected (%+v at half)", d.Seconds, d.Expected, f.Half.Expected)
		}
		if d := f.Full; d.Seconds < max(d.Compute, d.Link, d.Disk) || d.PerSecond <= 0 || f.Half.Seconds > d.Seconds {
			t.Fatalf("a step takes %g s (%g at half), computing %g, link %g, disk %g", d.Seconds, f.Half.Seconds, d.Compute, d.Link, d.Disk)
		}
	})
}

func TestWrongRequestsAndMachinesAreRefused(t *testing.T) {
	r := asked(0)
	r.Layers, r.Sequences, r.DeviceMemory, r.DiskMemory = nil, -1, 0, -1
	_, err := r.On(round)
	for _, want := range []string{"0 layers", "0 tokens of context", "-1 sequences", "0 bytes of device memory", "-1 bytes of disk"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	for text, want := range map[string]string{
		`{`:                         "unexpected EOF",
		`{"speed": 1}`:              `unknown field "speed"`,
		`{"link_rate": -1}`:         "link_rate is -1: want bytes a second above 0",
		`{"name": "x"}`:             "device_memory_bytes is 0: want bytes above 0",
		`{"host_memory_bytes":"1"}`: "host_memory_bytes",
	} {
		if _, err := ReadMachine(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", text, err, want)
		}
	}
	good := `{"device_memory_bytes":1,"device_memory_rate":1,"host_memory_bytes":1,"link_rate":1,"disk_rate":1}`
	if _, err := ReadMachine(strings.NewReader(good)); err != nil {
		t.Error(err)
	}
	if _, err := ReadMachine(strings.NewReader(good + good)); err == nil {
		t.Error("two objects: no error")
	}
}

// The assumptions for a GPU give what is known of one: llama.cpp's 61.0 tokens a second (pull request
// 4766) of a model of 32 layers and 12.55 GiB on a card that reads 1008 GB/s.
func TestAssumptionsAgreeWithAKnownGPU(t *testing.T) {
	m := Machine{Name: "RTX 4090", DeviceMemory: 24e9, DeviceRate: 1008e9, HostMemory: 32 << 30, LinkRate: 25e9, DiskRate: 7e9}
	weights := int64(13_475_000_000)
	r := Request{
		Model: Model{Weights: weights, Hidden: 4096, Vocab: 32000, FeedForward: 11008}, Layers: slices.Repeat([]Layer{{RowBytes: 16384}}, 32),
		StepWeights: weights, HeadWeights: 32000 * 4096 * 2, Context: 128, DeviceMemory: 24e9, HostMemory: 32 << 30,
	}
	f, err := r.On(m)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Half.Expected.PerSecond; math.Abs(got/61.03-1) > 0.02 {
		t.Errorf("%.1f tokens a second, known are 61.0", got)
	}
}

func TestAStatedRateHasAllThatALayerTakes(t *testing.T) {
	m := round
	if c := m.Assumed(); c.LayerSeconds != assumedLayer || c.WeightRate != assumedShare*m.DeviceRate {
		t.Errorf("nothing is stated: %+v", c)
	}
	m.WeightRate = 500
	if c := m.Assumed(); c.LayerSeconds != 0 || c.HeadRate != 500 {
		t.Errorf("the rate of weights is stated: %+v, want it for the head too, and no more for a layer", c)
	}
}
