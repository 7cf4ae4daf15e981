package generate

import "strings"

// Cutter passes a text on, piece by piece, up to the first of some strings. What may be the beginning of one is held back
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

// firstOf returns where the first of some strings begins in text, and -1 where none does.
func firstOf(text string, stops []string) int {
	first := -1
	for _, stop := range stops {
		if at := strings.Index(text, stop); at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
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
