//go:build !unix

package bench

import "time"

// start is when the program started.
var start = time.Now()

// processTime is not known here. It returns what keeps settle waiting: time.
func processTime() time.Duration { return time.Since(start) }
