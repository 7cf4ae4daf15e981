package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/timing"
)

const (
	copyBytes = 64 << 20               // of a copy whose speed is measured: more than caches hold
	copyTime  = 250 * time.Millisecond // that copies one way are repeated for
)

// readDevices describes the devices and measures copies to and from each.
func readDevices(ctx context.Context, root fs.FS) []doctor.Device {
	library, err := ggml.Load()
	if err != nil {
		return nil // readLibraries says why
	}
	var all []doctor.Device
	for _, d := range library.Devices() {
		r := doctor.Device{Name: d.Name(), Description: d.Description(), Type: d.Type().String(), Software: d.Software()}
		r.Free, r.Total = d.Memory()
		if err := measureCopies(ctx, root, d, &r); err != nil {
			r.Error = err.Error()
		}
		all = append(all, r)
	}
	return all
}

// measureCopies times copies between a device and the host memory that it copies from and to
// fastest.
func measureCopies(ctx context.Context, root fs.FS, d *ggml.Device, r *doctor.Device) (err error) {
	backend, err := d.Open(ggml.Options{Threads: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	kind, pinned := backend.HostBufferType()
	if !pinned {
		kind = backend.PlainHostBufferType()
	} else {
		r.HostBuffer = kind.Name()
	}
	locked, huge := doctor.Locked(root), doctor.Huge(root)
	host, err := backend.Alloc(kind, copyBytes, ggml.HostRows)
	if err != nil {
		return err
	}
	defer host.Close()
	host.UseHugePages()
	bytes := host.Bytes()
	if bytes == nil {
		return fmt.Errorf("host memory of kind %s cannot be addressed", host.Type().Name())
	}
	for i := range bytes {
		bytes[i] = byte(i) // touched, so that the first copy is like the others
	}
	r.HugeBytes = max(0, doctor.Huge(root)-huge)
	if pinned {
		r.GotBuffer, r.PinnedBytes = host.Type().Name(), max(0, doctor.Locked(root)-locked)
	}
	own, err := backend.Alloc(backend.BufferType(), copyBytes, ggml.Inputs)
	if err != nil {
		return err
	}
	defer own.Close()
	meta := ggml.NewContext(1)
	defer meta.Close()
	t := meta.New(ggml.I32, copyBytes/4)
	own.Place(t, 0)
	r.To = fastest(ctx, func() { t.Set(bytes, 0) })
	r.From = fastest(ctx, func() { t.Get(bytes, 0) })
	return nil
}

// fastest returns the bytes a second of the fastest of several copies; 0 if ctx was cancelled.
func fastest(ctx context.Context, copyAll func()) float64 {
	took, err := timing.Shortest(2, copyTime, func() error {
		copyAll()
		return ctx.Err()
	})
	if err != nil {
		return 0
	}
	return copyBytes / took.Seconds()
}
