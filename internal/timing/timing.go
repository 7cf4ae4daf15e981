// Package timing times what programs measure about their machine when they start.
package timing

import "time"

// Shortest returns the time of the shortest of several runs: what disturbs a measurement makes it
// longer, and the first run may have to touch memory. It makes as many runs as it is told to, and
// more until they have taken total together. An error of a run ends the measurement.
func Shortest(runs int, total time.Duration, run func() error) (time.Duration, error) {
	var shortest time.Duration
	begin := time.Now()
	for i := 0; i < runs || time.Since(begin) < total; i++ {
		start := time.Now()
		if err := run(); err != nil {
			return 0, err
		}
		if took := max(time.Since(start), 1); i == 0 || took < shortest {
			shortest = took
		}
	}
	return shortest, nil
}
