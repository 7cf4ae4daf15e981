package doctor

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	diskBytes = 256 << 20               // of the file that is written and read: more than a disk's own cache holds
	diskPiece = 1 << 20                 // of one request
	diskDepth = 4                       // requests at a time; more are not faster
	diskTime  = 1500 * time.Millisecond // the longest time for writing, and for reading
	diskShare = 10                      // at most a tenth of the free bytes
)

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
