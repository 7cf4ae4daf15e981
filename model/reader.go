package model

import "github.com/seed4d217819/ebb/gguf"

const (
	// piece is how many bytes of a file are asked for at once, and how many a device is given at once:
	// drivers that copy through memory of their own take as much of that.
	piece = 8 << 20

	// piecesAhead is how far reading is ahead of copying: it goes on while a matrix is copied.
	piecesAhead = 32
)

// reader has the system read weights from their file, ahead of those who use them. Pages that are
// touched before would be read a few at a time, and the disk would wait while weights are copied.
type reader struct {
	ahead chan struct{} // an element for each piece that was asked for and not used; nil: all are asked for
	stop  chan struct{}
	ended chan struct{}
}

// startReading begins to read tensors in order. With ahead pieces, as many are asked for before
// [reader.used] says that others were used; 0: all. The caller closes the reader.
func startReading(f *gguf.File, tensors []gguf.Tensor, ahead int) *reader {
	r := &reader{stop: make(chan struct{}), ended: make(chan struct{})}
	if ahead > 0 {
		r.ahead = make(chan struct{}, ahead)
	}
	go func() {
		defer close(r.ended)
		for _, t := range tensors {
			for from := int64(0); from < t.Size; from += piece {
				if !r.proceed() {
					return
				}
				f.Prefetch(t.Part, t.Offset+from, t.Offset+min(from+piece, t.Size))
			}
		}
	}()
	return r
}

// proceed waits until another piece may be asked for, and reports whether one may.
func (r *reader) proceed() bool {
	select {
	case <-r.stop:
		return false
	default:
	}
	if r.ahead == nil {
		return true
	}
	select {
	case <-r.stop:
		return false
	case r.ahead <- struct{}{}:
		return true
	}
}

// used says that a tensor's bytes have been used.
func (r *reader) used(t gguf.Tensor) {
	for range (t.Size + piece - 1) / piece {
		<-r.ahead
	}
}

// close ends the reading. What was asked for is still read.
func (r *reader) close() {
	close(r.stop)
	<-r.ended
}
