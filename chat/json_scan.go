package chat

// jsonScanner finds the end of a JSON object or list that comes byte by byte, and notices at once
// where it is no JSON. Numbers and words are checked only roughly: whoever reads the value does it
// whole.
type jsonScanner struct {
	state   jsonState
	stack   []byte // the open brackets
	hex     int    // digits of an escape that are wanted
	read    int    // bytes
	begin   int    // of the last string
	isKey   bool   // the last string is a key
	members int    // keys of the outermost object so far
	key     string // for whoever reads them
}

type jsonState int

const (
	wantValue  jsonState = iota
	wantFirst            // a value, or the end of a list
	wantKey              // behind a comma
	wantKeyEnd           // a key, or the end of an object
	wantColon
	wantComma // or the end of what is open
	inString
	inEscape
	inWord // a number, true, false or null
)

// maxDepth bounds how deep values nest.
const maxDepth = 512

func (s *jsonScanner) add(b byte) verdict {
	at := s.read
	s.read++
	switch s.state {
	case inString:
		switch {
		case b == '\\':
			s.state = inEscape
		case b == '"' && s.isKey:
			s.state = wantColon
		case b == '"':
			s.state = wantComma
		case b < ' ':
			return wrong
		}
		return more
	case inEscape:
		return s.escape(b)
	case inWord:
		if isWord(b) {
			return more
		}
		s.state = wantComma
	}
	if isSpace(b) {
		return more
	}
	switch s.state {
	case wantValue, wantFirst:
		return s.value(b, at)
	case wantKey, wantKeyEnd:
		if b == '"' {
			s.state, s.begin, s.isKey = inString, at, true
			if len(s.stack) == 1 {
				s.members++
			}
			return more
		}
		if b == '}' && s.state == wantKeyEnd {
			return s.close('{')
		}
		return wrong
	case wantColon:
		if b != ':' {
			return wrong
		}
		s.state = wantValue
		return more
	}
	// A comma, or the end of what is open.
	switch {
	case b == ',' && s.stack[len(s.stack)-1] == '{':
		s.state = wantKey
	case b == ',':
		s.state = wantValue
	case b == '}':
		return s.close('{')
	case b == ']':
		return s.close('[')
	default:
		return wrong
	}
	return more
}

// value takes the first byte of a value.
func (s *jsonScanner) value(b byte, at int) verdict {
	switch {
	case (b == '{' || b == '[') && len(s.stack) < maxDepth:
		s.stack = append(s.stack, b)
		s.state = wantFirst
		if b == '{' {
			s.state = wantKeyEnd
		}
	case b == ']' && s.state == wantFirst:
		return s.close('[')
	case len(s.stack) == 0:
		return wrong
	case b == '"':
		s.state, s.begin, s.isKey = inString, at, false
	case isWord(b):
		s.state = inWord
	default:
		return wrong
	}
	return more
}

// close takes the bracket that ends an object or a list.
func (s *jsonScanner) close(open byte) verdict {
	last := len(s.stack) - 1
	if s.stack[last] != open {
		return wrong
	}
	s.stack = s.stack[:last]
	s.state = wantComma
	if last == 0 {
		return done
	}
	return more
}

// escape takes a byte behind a backslash.
func (s *jsonScanner) escape(b byte) verdict {
	switch {
	case s.hex > 0:
		if b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'f' {
			if s.hex--; s.hex == 0 {
				s.state = inString
			}
			return more
		}
		return wrong
	case b == 'u':
		s.hex = 4
		return more
	case b == '"', b == '\\', b == '/', b == 'b', b == 'f', b == 'n', b == 'r', b == 't':
		s.state = inString
		return more
	}
	return wrong
}

func isWord(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b == 'E' || b == '-' || b == '+' || b == '.'
}
