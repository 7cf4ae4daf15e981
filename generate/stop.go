package generate

import "strings"

// Cutter passes a text on, piece by piece, up to the first of some stop strings. It holds back what
// may be the beginning of a stop string until more of the text is known. One goroutine uses it.
type Cutter struct {
	stops []string
	held  string
	done  bool
}

// NewCutter returns a Cutter for stop strings, none of which may be empty. Without any it passes
// everything on.
func NewCutter(stops []string) *Cutter { return &Cutter{stops: stops} }

// Next takes a piece of the text and returns the text that is certain to come before a stop string.
// ended is true once a stop string was found; what follows it is dropped.
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

// Flush returns the text that is held back, when there are no more pieces.
func (c *Cutter) Flush() string {
	text := c.held
	c.held = ""
	return text
}

// firstOf returns where the stop string begins that ends first in text, or -1 if text has none. Of
// stop strings that end together it is the longest. So the result does not depend on the pieces
// that a text comes in.
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

// pending returns how many bytes at the end of text may be the beginning of a stop string.
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
