package generate

import (
	"cmp"
	"slices"
)

// plan decides what the next step computes: b.running are its tasks, and each task whose prompt is not
// computed yet has the pass that the step takes of it. It returns how many tokens of prompts these are.
//
// All texts that grow are in each step. Beside them there are as many tokens of prompts as the step has
// time for, of the shortest prompt first, by the tokens that are left of it. A prompt that waits grows
// shorter in this order by what a step takes, so that none waits for ever.
func (b *Batch[S, W]) plan() (tokens int) {
	b.running, b.prompts = b.running[:0], b.prompts[:0]
	room := b.options.StepTokens
	for _, t := range b.tasks {
		if t.place != active || !t.running() {
			t.waited++
			continue
		}
		if t.measure(); t.left > 0 {
			b.prompts = append(b.prompts, t)
			continue
		}
		b.running = append(b.running, t)
		room -= t.tokens()
	}
	texts := len(b.running)
	if texts > 0 {
		room = max(room, granule) // or prompts would wait for ever: the model takes two steps then
	}
	free := room
	if b.pace.target > 0 {
		free = b.pace.next()
	}
	once, rows := max(free, 1), b.options.PromptRows
	b.once = once
	slices.SortStableFunc(b.prompts, func(x, y *Task[S]) int { return cmp.Compare(x.urgency(once), y.urgency(once)) })
	for i, t := range b.prompts {
		most := free
		if i == 0 && texts == 0 {
			most = room // nobody waits for the step to end
		}
		if t.echo != nil {
			most = min(most, rows)
		}
		t.pass = b.pass(t, min(most, room), i == 0)
		if t.echo != nil {
			rows -= t.pass
		}
		if t.pass == 0 {
			t.waited++
			continue
		}
		b.running = append(b.running, t)
		if i == 0 && texts == 0 {
			free = max(free, 2*t.pass) // others of its length go with it
		}
		free, room, tokens = free-t.pass, room-t.pass, tokens+t.pass
	}
	clear(b.prompts)
	return tokens
}

// pass returns how many tokens of its prompt a task has in a step that has room for most. Only the first
// prompt of a step may have a few.
func (b *Batch[S, W]) pass(t *Task[S], most int, first bool) int {
	n := min(t.rest, most)
	if n < t.rest && !first {
		n = n / granule * granule
	}
	if n <= 0 {
		return 0
	}
	if b.options.Pass != nil {
		n = max(1, min(n, b.options.Pass(t.seqs[t.at], n)))
	}
	return n
}
