package doctor

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	diskBytes = 256 << 20               // of the file that is written and read: above what a disk's own cache makes look fast
	diskPiece = 1 << 20                 // of a request
	diskDepth = 4                       // requests at a time: more read no faster
	diskTime  = 1500 * time.Millisecond // of writing and of reading at most
	diskShare = 10                      // a tenth of what is free at most
)

// MeasureDisk writes and reads a file in a folder, for 3 seconds and 256 MiB at most, and past the page cache where that is
// possible. The file has no name, so nothing of it stays, however the program ends.
func MeasureDisk(ctx context.Context, dir string) Disk {
	d := Disk{Dir: dir}
	if err := d.measure(ctx); err != nil {
		d.Error = err.Error()
	}
	return d
}

// fill makes bytes that no disk can compress.
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
