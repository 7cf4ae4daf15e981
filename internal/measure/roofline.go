package measure

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/ggml"
)

// ReadSize is how many bytes are read and written to measure memory: many times the caches of a
// CPU. Copies are smaller.
const (
	ReadSize   = 256 << 20
	copySize   = 128 << 20
	deviceSize = 64 << 20
)

// roofline measures bounds that no program passes: how fast the threads that compute read and copy
// memory, how fast bytes reach another device and come back, and how fast a disk is read.
func roofline(ctx context.Context, o Options, _ Model) (res Result, err error) {
	o.Progress("roofline")
	if o.Disk != "" { // first, because it may fail
		d := doctor.MeasureDisk(ctx, o.Disk)
		if d.Error != "" {
			return res, fmt.Errorf("bench: disk: %s", d.Error)
		}
		res.Figures = append(res.Figures, diskFigures(d)...)
	}
	for _, threads := range o.Threads {
		figures, err := rates(ctx, memoryArms(threads), threads, o.Pace)
		res.Figures = append(res.Figures, figures...)
		if err != nil {
			return res, err
		}
	}
	if o.OnCPU() {
		return res, nil
	}
	arms, err := deviceArms(o)
	if err != nil {
		return res, err
	}
	figures, err := rates(ctx, arms, 1, o.Pace)
	res.Figures = append(res.Figures, figures...)
	return res, errors.Join(err, CloseAll(arms))
}

// diskFigures are the rates of a disk.
func diskFigures(d doctor.Disk) []Figure {
	how := "past the page cache"
	if !d.Direct {
		how = "through the page cache"
	}
	return []Figure{
		{Workload: "roofline", Name: "disk written, " + how, Value: d.Write / 1e9, Unit: "GB/s"},
		{Workload: "roofline", Name: "disk read, " + how, Value: d.Read / 1e9, Unit: "GB/s"},
	}
}

// rates measures arms that move bytes.
func rates(ctx context.Context, transfers []*Transfer, threads int, p Pace) ([]Figure, error) {
	var arms []Arm
	for _, a := range transfers {
		arms = append(arms, a)
	}
	rows, err := Measure(ctx, arms, Point{"roofline", Setting{Threads: threads}, 0, 1}, Pace{Rounds: p.Rounds, WarmUp: p.WarmUp, Steps: 3})
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for i, a := range transfers {
		figures = append(figures, Figure{
			Workload: "roofline", Name: a.Label, Value: float64(a.bytes) / rows[i].P25 / 1e9, Unit: "GB/s", Disturbed: rows[i].Disturbed > 0,
		})
	}
	return figures, nil
}

// Transfer is an arm that moves the same bytes in each step.
type Transfer struct {
	Label string
	Move  func() error

	bytes int64
	free  func() error // nil: there is nothing to free
}

var _ Arm = (*Transfer)(nil)

// Name returns the label.
func (a *Transfer) Name() string { return a.Label }

// Rewind does nothing: every step is the same.
func (a *Transfer) Rewind(context.Context, int) error { return nil }

// Step moves the bytes.
func (a *Transfer) Step(ctx context.Context, _ int) error { return errors.Join(ctx.Err(), a.Move()) }

// Close frees what was allocated for the arm.
func (a *Transfer) Close() error {
	if a.free == nil {
		return nil
	}
	return a.free()
}

// memoryArms read and copy memory of the host.
func memoryArms(threads int) []*Transfer {
	memory, to := NonZero(ReadSize), make([]byte, copySize)
	named := func(what string) string {
		if threads == 1 {
			return what + ", 1 thread"
		}
		return fmt.Sprintf("%s, %d threads", what, threads)
	}
	return []*Transfer{
		{Label: named("memory read"), bytes: ReadSize, Move: func() error { return ReadAll(memory, threads) }},
		{Label: named("memory copied"), bytes: copySize, Move: func() error {
			copyAll(to, memory[:copySize], threads)
			return nil
		}},
	}
}

// copyAll copies memory with some threads.
func copyAll(to, from []byte, threads int) {
	each := slices.Collect(slices.Chunk(from, (len(from)+threads-1)/threads))
	inParallel(len(each), func(i int) {
		copy(to[i*len(each[0]):], each[i])
	})
}

// deviceArms copy between the host and the device that computes.
func deviceArms(o Options) (arms []*Transfer, err error) {
	library, err := ggml.Load()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	device, err := o.otherDevice(library)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	backend, err := device.Open(ggml.Options{})
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	var buffers []*ggml.Buffer
	meta := ggml.NewContext(1)
	free := func() error {
		for _, b := range buffers {
			b.Close()
		}
		meta.Close()
		return backend.Close()
	}
	alloc := func(kind ggml.BufferType, p ggml.Purpose) *ggml.Buffer {
		if err != nil {
			return nil
		}
		var b *ggml.Buffer
		if b, err = backend.Alloc(kind, deviceSize, p); err == nil {
			buffers = append(buffers, b)
		}
		return b
	}
	there, plain := alloc(backend.BufferType(), ggml.Slots), alloc(backend.PlainHostBufferType(), ggml.HostRows)
	hosts := []struct {
		name   string
		buffer *ggml.Buffer
	}{{"plain memory", plain}}
	if kind, ok := backend.HostBufferType(); ok {
		hosts = append(hosts, struct {
			name   string
			buffer *ggml.Buffer
		}{kind.Name(), alloc(kind, ggml.HostRows)})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench: %w", err), free())
	}
	t := meta.New(ggml.F32, deviceSize/4)
	there.Place(t, 0)
	for _, h := range hosts {
		memory := h.buffer.Bytes()
		arms = append(arms,
			&Transfer{Label: fmt.Sprintf("%s to %s", h.name, device.Name()), bytes: deviceSize, Move: func() error { t.Set(memory, 0); return nil }},
			&Transfer{Label: fmt.Sprintf("%s to %s", device.Name(), h.name), bytes: deviceSize, Move: func() error { t.Get(memory, 0); return nil }},
		)
	}
	arms[len(arms)-1].free = free
	return arms, nil
}
