package plan

import (
	"errors"
	"strings"
	"testing"
)

// askedGemma is a request for 16384 tokens and the layers of gemma: 3 see all of them, 15 a window of 512.
// The device has some bytes for K/V.
func askedGemma(kv int64) Request {
	return Request{
		Model: Model{Weights: 1000}, Layers: gemma(0).Layers, StepWeights: 1000, Context: 16384,
		HostMemory: 1 << 30,
	}.beside(kv)
}

const gemmaRow = 1024 // bytes of a row in one layer

// A step reads windows to their end and no further, and fetches full layers alone: of three, one has a
// slot to itself.
func TestWindowsReadAndFetchNoMoreOverDepth(t *testing.T) {
	const cells = 16384
	f, err := askedGemma(15*gemmaRing + 2*gemmaRow*cells).On(round)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := marks(f.Placement.Resident), "RRRRRsRRRRRsRRRRRs"; got != want {
		t.Fatalf("%s; want %s", got, want)
	}
	for _, d := range []Decode{f.Half, f.Full} {
		depth := int64(d.Depth)
		if want := 1000 + 3*gemmaRow*depth + 15*gemmaRow*512; d.Read != want {
			t.Errorf("after %d tokens a step reads %d bytes; want %d", depth, d.Read, want)
		}
		if want := 2 * gemmaRow * depth; d.Moved != want || d.FromDisk != 0 {
			t.Errorf("after %d tokens %d bytes come over the link, %d from disk; want %d", depth, d.Moved, d.FromDisk, want)
		}
	}
	r := askedGemma(15*gemmaRing + 2*gemmaRow*cells)
	half, full := r.times(f, round, cells/2), r.times(f, round, cells)
	for l := range r.Layers {
		if longer := full.Layers[l].Attend > half.Layers[l].Attend; longer != (r.Layers[l].Window == 0) {
			t.Errorf("layer %d with a window of %d attends for %g s, and %g s at half the depth", l, r.Layers[l].Window, full.Layers[l].Attend, half.Layers[l].Attend)
		}
	}
}

// What is behind windows lies in host memory also where no layer streams.
func TestRowsBehindWindowsHaveAPlace(t *testing.T) {
	const cells, layer = 16384, gemmaRow * 16384
	r := askedGemma(15*gemmaRing + 3*layer)
	f, err := r.On(round)
	if err != nil {
		t.Fatal(err)
	}
	if f.Placement.Streamed != 0 || f.Host != 15*layer || f.HostPast != 15*layer || f.Disk != 0 || f.HostCells != cells {
		t.Errorf("%d layers stream, %d bytes in host memory, %d of them behind windows, %d on disk; want 0, %d, %[5]d, 0", f.Placement.Streamed, f.Host, f.HostPast, f.Disk, 15*layer)
	}

	r.HostMemory = 15*layer - 1
	_, err = r.On(round)
	short, ok := errors.AsType[*TierError](err)
	if !ok || short.Need != 15*layer || short.Past != 15*layer || short.MostCells != cells-Block {
		t.Errorf("host memory that lacks a byte: %v, %+v", err, short)
	} else if !strings.Contains(err.Error(), "240.0 MiB of which are behind the windows of layers") {
		t.Errorf("got %v", err)
	}

	r.DiskMemory = 1 << 30
	if f, err = r.On(round); err != nil || f.HostCells != cells-Block || f.Disk != 15*gemmaRow*Block || f.Full.FromDisk != 0 {
		t.Errorf("a block more on disk: %d tokens in host memory, %d bytes on disk, %d read in a step, %v", f.HostCells, f.Disk, f.Full.FromDisk, err)
	}

	cpu := round // has all of host memory
	cpu.Unified, cpu.DeviceMemory, cpu.HostMemory = true, 1<<29, 1<<29
	r = askedGemma(0)
	r.DeviceMemory, r.HostMemory = 1<<29, 0
	if f, err = r.On(cpu); err != nil || f.Host != 15*layer {
		t.Errorf("a CPU: %d bytes behind windows, %v; want %d", f.Host, err, 15*layer)
	}
	if got := f.Growth.Most; f.Growth.Resident != got || int64(got)*18*gemmaRow > 1<<29 || int64(got)*20*gemmaRow < 1<<29 {
		t.Errorf("a CPU: contexts of at most %d, which would take %d bytes", got, int64(got)*18*gemmaRow)
	}
}

// The rows behind windows that are kept can be bounded, and an error says how many there is room for.
func TestFewerRowsBehindWindowsNeedLessRoom(t *testing.T) {
	const cells, layer, ring = 16384, gemmaRow * 16384, 1024
	r := askedGemma(15*gemmaRing + 2*layer)
	for _, test := range []struct{ rows, kept int }{
		{0, cells}, {-1, ring}, {1, ring + Block}, {1000, 2048}, {cells, cells},
	} {
		r.WindowRows = test.rows
		if f, err := r.On(round); err != nil || f.PastCells != test.kept || f.HostPast != int64(15*gemmaRow*test.kept) || f.Host != 3*layer+f.HostPast {
			t.Errorf("%d rows: %d tokens kept in %d of %d bytes, %v; want %d tokens", test.rows, f.PastCells, f.HostPast, f.Host, err, test.kept)
		}
	}

	r.WindowRows, r.HostMemory = 0, 3*layer+15*gemmaRow*2048
	_, err := r.On(round)
	short, ok := errors.AsType[*TierError](err)
	if !ok || short.WindowRows != 2048-ring {
		t.Fatalf("got %v, %+v; want room for %d rows", err, short, 2048-ring)
	}
	r.WindowRows = short.WindowRows
	if f, err := r.On(round); err != nil || f.Host != r.HostMemory || f.HostCells != cells {
		t.Errorf("%d rows: %d bytes of %d in host memory, %v", r.WindowRows, f.Host, r.HostMemory, err)
	}

	// Streamed rows have what windows leave: of these, all that are kept are in host memory.
	r.HostMemory, r.DiskMemory = layer+15*gemmaRow*2048, 1<<30
	if f, err := r.On(round); err != nil || f.HostPast != 15*gemmaRow*2048 || f.DiskPast != 0 || f.HostCells != (cells/3)/Block*Block || f.Disk != 3*gemmaRow*int64(cells-f.HostCells) {
		t.Errorf("%d tokens in host memory, %d bytes behind windows there and %d on disk, %d on disk in all, %v", f.HostCells, f.HostPast, f.DiskPast, f.Disk, err)
	}

	r.HostMemory, r.DiskMemory = 3*layer-1, 0
	if _, err = r.On(round); !errors.As(err, &short) || short.WindowRows >= 0 {
		t.Errorf("no room for streamed rows: %v, %+v; want no number of rows", err, short)
	}
}

// Layers that share K/V read those of another, and nothing of them is fetched or kept.
func TestSharedLayersReadWhatTheyShare(t *testing.T) {
	r := asked(1024)
	r.Layers = append(r.Layers, Layer{Shares: true, Of: 3}, Layer{Shares: true, Of: 2, Window: 100})
	f, err := r.On(round)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(1000 + 5*1024*rowBytes + 100*rowBytes); f.Full.Read != want || f.Placement.TreeBytes != 4*1024*rowBytes {
		t.Errorf("a step reads %d bytes, and K/V take %d; want %d and %d", f.Full.Read, f.Placement.TreeBytes, want, 4*1024*rowBytes)
	}
	r.Layers[4].Of = 5
	r.Layers[5].Window = -1
	if _, err := r.On(round); err == nil || !strings.Contains(err.Error(), "shares the K/V of layer 5") || !strings.Contains(err.Error(), "a window of -1 tokens") {
		t.Errorf("got %v", err)
	}
}
