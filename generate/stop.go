package generate

import "strings"

// Cutter passes a text on, piece by piece, up to the one of some strings that is complete first. What may be the beginning of one is held back
// until more of the text is known. It is used by one goroutine.
type Cutter struct {
	stops []string
	held  string
	done  bool
}

// NewCutter returns a Cutter for strings that are not empty. Without any it passes everything on.
func NewCutter(stops []string) *Cutter { return &Cutter{stops: stops} }

// Next takes a piece of the text and returns what is certain to stand before a stop string. Once it has found one, ended
// is true, and no more comes.
func (c *Cutter) Next(piece string) (text string, ended bool) {
	if c.done || len(c.stops) == 0 {
		if c.done {
			piece = ""
		}
		return piece, c.done
	}
	text = c.held + piece
	if at := firstOf(text, c.stops); at >= 0 {
		c.held, c.done = "", true
		return text[:at], true
	}
	safe := len(text) - pending(text, c.stops)
	c.held = text[safe:]
	return text[:safe], false
}

// Flush returns what is held back, when no more comes.
func (c *Cutter) Flush() string {
	text := c.held
	c.held = ""
	return text
}

// firstOf returns where the string begins that is complete first, or the longer one of those that are complete together,
// and -1 where there is none: so it does not matter in which pieces a text comes.
func firstOf(text string, stops []string) int {
	begin, end := -1, len(text)+1
	for _, stop := range stops {
		at := strings.Index(text, stop)
		if at >= 0 && (at+len(stop) < end || at+len(stop) == end && at < begin) {
			begin, end = at, at+len(stop)
		}
	}
	return begin
}

// pending returns how many bytes at the end of text may be the beginning of one of some strings.
func pending(text string, stops []string) (n int) {
	for _, stop := range stops {
		for k := min(len(stop)-1, len(text)); k > n; k-- {
			if strings.HasPrefix(stop, text[len(text)-k:]) {
				n = k
			}
		}
	}
	return n
}

// ends reports whether a piece completes a stop string.
func (c *Cutter) ends(piece string) bool {
	_, ended := c.Next(piece)
	return ended
}
