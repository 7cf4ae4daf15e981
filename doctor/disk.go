package doctor

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

const (
	diskBytes  = 256 << 20               // of the file that is written and read: more than a disk's own cache holds
	diskPiece  = 1 << 20                 // of one request
	diskSector = 4096                    // what direct transfers are multiples of, on all usual disks
	diskDepth  = 4                       // requests at a time; more are not faster
	diskTime   = 1500 * time.Millisecond // the longest time for writing, and for reading
	diskShare  = 10                      // at most a tenth of the free bytes
)

// FreeDisk returns how many bytes are free in a folder.
func FreeDisk(dir string) (int64, error) { return freeBytes(dir) }

// MeasureDisk writes and reads a file in a folder, for at most 3 seconds and 256 MiB, and bypasses
// the page cache where that is possible. The file has no name, so nothing of it remains, however
// the program ends.
func MeasureDisk(ctx context.Context, dir string) Disk {
	d := Disk{Dir: dir}
	if err := d.measure(ctx); err != nil {
		d.Error = err.Error()
	}
	return d
}

func (d *Disk) measure(ctx context.Context) error {
	var err error
	if d.Free, err = freeBytes(d.Dir); err != nil {
		return err
	}
	bytes := min(diskBytes, d.Free/diskShare/diskPiece*diskPiece)
	if bytes < diskDepth*diskPiece {
		return fmt.Errorf("only %s are free", bytesize.Format(d.Free))
	}
	f, err := OpenDiskFile(d.Dir, bytes)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it has no name, so closing removes it
	d.Direct = f.Direct()
	start := time.Now()
	written, err := f.write(ctx, start.Add(diskTime))
	if err != nil {
		return err
	}
	d.Write = rate(written, time.Since(start))
	start = time.Now()
	read, err := f.read(ctx, written, start.Add(diskTime))
	d.Read = rate(read, time.Since(start))
	return err
}

// Write writes all bytes of the file, and waits until they are on the disk.
func (f *DiskFile) Write(ctx context.Context) error {
	_, err := f.write(ctx, time.Time{})
	return err
}

// Read reads all bytes of the file, which have been written before.
func (f *DiskFile) Read(ctx context.Context) error {
	_, err := f.read(ctx, f.bytes, time.Time{})
	return err
}

// fill writes bytes that no disk can compress.
func fill(data []byte) {
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data) // never fails
}

// rate returns bytes a second.
func rate(bytes int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(bytes) / d.Seconds()
}
