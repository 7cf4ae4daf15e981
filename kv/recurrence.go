package kv

// Recurrence is the tokens of one sequence in a chunk, as recurrent layers compute them: from the state
// in one place to states in others.
type Recurrence struct {
	First, N int // tokens of the step
	From     int // the place of the state before the first of them
	// To are the places of the states after the last token, after the one before it, and so on: at
	// least one. They are the step's own until Close.
	To []int
}

// recurrences are those of all chunks.
type recurrences struct {
	all   []Recurrence
	first []int // by chunk: its first one
}

// layRecurrences lists the recurrences of all chunks. The states that a chunk ends with are where the
// next one begins.
func (a *arrangement) layRecurrences() {
	r := &a.recurrent
	r.all, r.first = r.all[:0], r.first[:0]
	for _, c := range a.chunks {
		r.first = append(r.first, len(r.all))
		for i := a.workAt(c.First); i < len(a.works) && a.works[i].first < c.First+c.N; i++ {
			w := &a.works[i]
			from, to := max(c.First, w.first), min(c.First+c.N, w.end())
			one := Recurrence{First: from, N: to - from, From: w.state}
			if from > w.first {
				one.From = r.lastOf(w).To[0]
			}
			later := w.end() - to // tokens of the work behind the chunk
			if one.To = w.states[:1]; later < len(w.states) {
				one.To = w.states[later:min(len(w.states), later+one.N)]
			}
			r.all = append(r.all, one)
		}
	}
}

// lastOf returns the recurrence of a work in the chunk before: the last one, as chunks are consecutive.
func (r *recurrences) lastOf(w *work) Recurrence {
	for i := len(r.all) - 1; ; i-- {
		if one := r.all[i]; one.First >= w.first && one.First < w.end() {
			return one
		}
	}
}

// Recurrences returns those of a chunk, in the order of its tokens; none where no layer is recurrent.
// Like what the other methods return they are valid until the step is closed.
func (a *arrangement) Recurrences(chunk int) []Recurrence {
	r := &a.recurrent
	if len(r.first) == 0 {
		return nil
	}
	end := len(r.all)
	if chunk+1 < len(r.first) {
		end = r.first[chunk+1]
	}
	return r.all[r.first[chunk]:end]
}
