package jsonschema

import "github.com/seed4d217819/ebb/grammar/internal/charset"

// places is a set of places in a text, by the number of characters before them.
type places map[int]bool

// matches reports whether a pattern matches something in a text.
func (v *validator) matches(n node, text []rune) (bool, error) {
	starts := places{}
	for i := range len(text) + 1 {
		starts[i] = true
	}
	ends, err := v.after(n, text, starts)
	return len(ends) > 0, err
}

// after returns the places where a match of n may end that begins at one of the places.
func (v *validator) after(n node, text []rune, from places) (places, error) {
	if v.steps += len(from); v.steps > maxSteps {
		return nil, errTooMuch
	}
	to := places{}
	switch n := n.(type) {
	case chars:
		for i := range from {
			if i < len(text) && charset.Set(n).Contains(text[i]) {
				to[i+1] = true
			}
		}
	case atBegin:
		if from[0] {
			to[0] = true
		}
	case atEnd:
		if from[len(text)] {
			to[len(text)] = true
		}
	case group:
		return v.after(n.node, text, from)
	case concat:
		for _, part := range n {
			var err error
			if from, err = v.after(part, text, from); err != nil {
				return nil, err
			}
		}
		return from, nil
	case either:
		for _, part := range n {
			ends, err := v.after(part, text, from)
			if err != nil {
				return nil, err
			}
			to.add(ends)
		}
	case times:
		return v.afterTimes(n, text, from)
	}
	return to, nil
}

func (v *validator) afterTimes(n times, text []rune, from places) (to places, err error) {
	for range n.min {
		if len(from) == 0 {
			return nil, nil
		}
		if from, err = v.after(n.node, text, from); err != nil {
			return nil, err
		}
	}
	to = places{}
	to.add(from)
	for k := n.min; (n.max < 0 || k < n.max) && len(from) > 0; k++ {
		ends, err := v.after(n.node, text, from)
		if err != nil {
			return nil, err
		}
		from = places{}
		for i := range ends {
			if !to[i] {
				to[i], from[i] = true, true
			}
		}
	}
	return to, nil
}

// add adds the places of others.
func (p places) add(others places) {
	for i := range others {
		p[i] = true
	}
}
