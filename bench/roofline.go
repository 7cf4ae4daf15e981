package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/ggml"
)

// Sizes of what is read and copied: many times the caches of a CPU.
const (
	readSize   = 256 << 20
	copySize   = 128 << 20
	deviceSize = 64 << 20
)

// roofline measures what no program passes: how fast memory is read and copied
// by the threads that compute, how fast bytes reach another device and come
// back, and how fast a disk is read.
func roofline(ctx context.Context, o Options, _ Model) (res Result, err error) {
	o.Progress("roofline")
	if o.Disk != "" { // first, as it may fail
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
	if o.onCPU() {
		return res, nil
	}
	arms, err := deviceArms(o)
	if err != nil {
		return res, err
	}
	figures, err := rates(ctx, arms, 1, o.Pace)
	res.Figures = append(res.Figures, figures...)
	return res, errors.Join(err, closeAll(arms))
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
func rates(ctx context.Context, transfers []*transferArm, threads int, p Pace) ([]Figure, error) {
	var arms []arm
	for _, a := range transfers {
		arms = append(arms, a)
	}
	rows, err := measure(ctx, arms, point{"roofline", setting{threads: threads}, 0, 1}, Pace{Rounds: p.Rounds, WarmUp: p.WarmUp, Steps: 3})
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for i, a := range transfers {
		figures = append(figures, Figure{
			Workload: "roofline", Name: a.label, Value: float64(a.bytes) / rows[i].P25 / 1e9, Unit: "GB/s", Disturbed: rows[i].Disturbed > 0,
		})
	}
	return figures, nil
}

// transferArm moves bytes, the same each time.
type transferArm struct {
	label string
	bytes int64
	move  func() error
	free  func() error // nil: there is nothing to free
}

var _ arm = (*transferArm)(nil)

func (a *transferArm) name() string                          { return a.label }
func (a *transferArm) rewind(context.Context, int) error     { return nil }
func (a *transferArm) step(ctx context.Context, _ int) error { return errors.Join(ctx.Err(), a.move()) }

func (a *transferArm) Close() error {
	if a.free == nil {
		return nil
	}
	return a.free()
}

// memoryArms read and copy memory of the host.
func memoryArms(threads int) []*transferArm {
	memory, to := nonZero(readSize), make([]byte, copySize)
	named := func(what string) string {
		if threads == 1 {
			return what + ", 1 thread"
		}
		return fmt.Sprintf("%s, %d threads", what, threads)
	}
	return []*transferArm{
		{label: named("memory read"), bytes: readSize, move: func() error {
			if !readAll(memory, threads) {
				return errUnread
			}
			return nil
		}},
		{label: named("memory copied"), bytes: copySize, move: func() error {
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
func deviceArms(o Options) (arms []*transferArm, err error) {
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
			&transferArm{label: fmt.Sprintf("%s to %s", h.name, device.Name()), bytes: deviceSize, move: func() error { t.Set(memory, 0); return nil }},
			&transferArm{label: fmt.Sprintf("%s to %s", device.Name(), h.name), bytes: deviceSize, move: func() error { t.Get(memory, 0); return nil }},
		)
	}
	arms[len(arms)-1].free = free
	return arms, nil
}
