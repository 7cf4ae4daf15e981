package server

import "time"

// longestStay bounds how long a model may keep those waiting who wait for another one.
const longestStay = time.Minute

// stay is how long a model that was loaded is used although others wait for another one: as long as
// loading it has taken, so that at most about half of the time goes into loading. It ends early when
// nobody has used the model for a tenth of that: whoever has got an answer may have the next question
// at once, and others do not wait for a model that nobody asks.
type stay struct {
	until  time.Time
	linger time.Duration
	used   time.Time // for the last time, if nobody uses the model now
}

// newStay begins the stay of a model that took so long to load.
func newStay(took time.Duration) stay {
	took = min(took, longestStay)
	now := time.Now()
	return stay{until: now.Add(took), linger: took / 10, used: now}
}

// left returns how long the stay of a model that nobody uses goes on, unless somebody uses it; at most 0:
// it is over.
func (s stay) left(now time.Time) time.Duration {
	return min(s.until.Sub(now), s.used.Add(s.linger).Sub(now))
}
