package conversation

import "slices"

// MakeRoom gives up the idle conversation that is least useful, and reports whether there was one.
func (s *Store) MakeRoom() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var idle []*Conversation
	for _, c := range s.kept {
		if !c.busy {
			idle = append(idle, c)
		}
	}
	if len(idle) == 0 {
		return false, nil
	}
	s.stats.GivenUp++
	return true, s.drop(slices.MinFunc(idle, usefulness))
}

// usefulness compares how useful two idle conversations are. First those go that another has replaced,
// then those that no client has given a name, and last those that were pinned; of equals the one goes
// first that was not used for longest. To lend its beginning is a use, too.
func usefulness(x, y *Conversation) int {
	for _, more := range [...]func(*Conversation) bool{
		func(c *Conversation) bool { return c.pinned },
		func(c *Conversation) bool { return !c.replaced },
	} {
		if more(x) != more(y) {
			if more(y) {
				return -1
			}
			return 1
		}
	}
	if x.used < y.used {
		return -1
	}
	return 1
}
