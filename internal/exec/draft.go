package exec

import (
	"context"
	"errors"
	"slices"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/trace"
)

// Draft drafts tokens of one sequence. It lies beside the sequence, and follows each of its steps.
//
// Row i of the block is that of token begin+1+i, made from the hidden state of token begin+i. A
// sequence that has tokens already, or in which a hidden state is missing, begins later: the block
// then sees fewer tokens, and guesses worse at first.
type Draft struct {
	drafter *drafter
	rows    *kv.Seq
	begin   int
	sure    int   // rows that were made from the model's hidden states; those behind from the block's own
	last    int32 // the token of the last sure row, or unknown

	states []float32 // the model's hidden states of the last tokens that were computed
	first  int       // the first of these tokens
}

// unknown is no token.
const unknown = -1

// Draft returns what drafts tokens of a sequence. It is closed with the sequence.
func (r *Runner) Draft(seq *kv.Seq) (*Draft, error) {
	if r.drafter == nil {
		return nil, errors.New("ebb: the block that drafts tokens was not loaded: open the engine with Options.MTP")
	}
	if d, ok := seq.Beside().(*Draft); ok {
		return d, nil
	}
	d := &Draft{drafter: r.drafter, last: unknown, rows: r.drafter.block.pool.NewSeq()}
	if err := seq.PutBeside(d); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close frees the rows. The sequence calls it.
func (d *Draft) Close() error { return d.rows.Close() }

// Guess returns at most n tokens that may follow ids, all of which but the last the model has
// computed. It ends before one of some tokens. It guesses nothing where memory does not suffice, or
// right after the sequence was restored.
func (d *Draft) Guess(ctx context.Context, ids []int32, n int, ends []int32) (guesses []int32, err error) {
	r, p := d.drafter.model, len(ids)-1 // the position of the last token
	done, err := r.pool.Turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	defer r.trace.End(trace.Span{Track: trace.Step, Name: "draft", Layer: -1, Tokens: n, Start: r.trace.Now()})
	if n <= 0 || p < 1 || !d.knows(p-1, p) {
		return nil, nil
	}
	if err := d.keep(min(d.sure, p-1-d.begin)); err != nil {
		return nil, err
	}
	if next := d.next(); next > p || !d.knows(next-1, p) {
		if err := d.restart(p - 1); err != nil {
			return nil, err
		}
	}
	next := d.next()
	row, err := d.extend(ctx, ids[next:], true, d.kept(next-1))
	if err == nil {
		d.sure, d.last = d.rows.Len(), ids[p]
	}
	for err == nil {
		id := likeliest(row)
		if slices.Contains(ends, id) {
			return guesses, nil
		}
		if guesses = append(guesses, id); len(guesses) == n {
			return guesses, nil
		}
		row, err = d.extend(ctx, guesses[len(guesses)-1:], true, func(to *ggml.Tensor, _, _ int) { ggml.SetSlice(to, d.drafter.last, 0) })
	}
	if lacksRoom(err) && ctx.Err() == nil {
		return guesses, nil
	}
	return nil, err
}

// Checked counts how many of the last guesses were checked, and how many of them were right.
func (d *Draft) Checked(guessed, right int) {
	d.drafter.drafted.Add(int64(guessed))
	d.drafter.accepted.Add(int64(right))
}

// follow gives the block the rows of a work's tokens, the first of which is at position p of the
// sequence and the first-th of the step, whose hidden states are x. Guesses get theirs when they
// were right.
func (d *Draft) follow(ctx context.Context, w kv.Work, p int, x *ggml.Tensor, first int) error {
	tokens := w.Tokens[:len(w.Tokens)-w.Drafts]
	err := d.followTokens(ctx, w.Seq, tokens, p, x, first)
	if lacksRoom(err) && ctx.Err() == nil {
		err = d.restart(p)
	}
	if err != nil {
		return err
	}
	hidden := int(x.Ne(0))
	d.first, d.states = p+len(tokens)-1, resize(d.states, (1+w.Drafts)*hidden)
	ggml.GetSlice(x, d.states, int64(first+len(tokens)-1)*x.Nb(1))
	return nil
}

func (d *Draft) followTokens(ctx context.Context, seq *kv.Seq, tokens []int32, p int, x *ggml.Tensor, first int) error {
	if err := d.keep(d.same(p, tokens[0])); err != nil {
		return err
	}
	next := d.next()
	if next > p+1 || next <= p && !d.knows(next-1, p) {
		if err := d.restart(p); err != nil {
			return err
		}
		next = p + 1
	}
	if next <= p {
		ids := tokens[:1]
		if next < p {
			ids = append(slices.Clone(seq.Tokens()[next:p]), tokens[0])
		}
		if _, err := d.extend(ctx, ids, false, d.kept(next-1)); err != nil {
			return err
		}
	}
	if len(tokens) > 1 {
		give := func(to *ggml.Tensor, from, n int) { d.drafter.copyStates(x, first+from, to, n) }
		if _, err := d.extend(ctx, tokens[1:], false, give); err != nil {
			return err
		}
	}
	d.sure, d.last = d.rows.Len(), tokens[len(tokens)-1]
	return nil
}

// next returns the position of the token whose row is the next.
func (d *Draft) next() int { return d.begin + 1 + d.rows.Len() }

// knows reports whether the hidden states of the tokens [from, end) are kept.
func (d *Draft) knows(from, end int) bool {
	return from >= d.first && end <= d.first+len(d.states)/d.drafter.block.config.Hidden
}

// same returns how many rows stay as they are when a token comes to position p.
func (d *Draft) same(p int, token int32) int {
	before := p - 1 - d.begin // rows of the tokens before it
	switch {
	case before < 0:
		return 0
	case d.sure > before+1 && d.rows.Tokens()[before] == token, d.sure == before+1 && d.last == token:
		return before + 1
	}
	return min(d.sure, before)
}

// keep drops all rows but the first n.
func (d *Draft) keep(n int) error {
	n = max(n, 0)
	if n < d.sure {
		d.sure, d.last = n, unknown
	}
	if d.rows.Len() <= n {
		return nil
	}
	return d.rows.Truncate(n)
}

// restart drops all rows: the next one is of the token behind position p.
func (d *Draft) restart(p int) error {
	d.begin = p
	return d.keep(0)
}

// extend appends the rows of tokens, and returns the scores of the token after the last, if they
// are wanted. give writes the hidden states of n of the tokens, from one on.
func (d *Draft) extend(ctx context.Context, tokens []int32, scores bool, give func(to *ggml.Tensor, from, n int)) ([]float32, error) {
	f := d.drafter
	for from := 0; from < len(tokens); {
		n := min(len(tokens)-from, f.block.pool.StepTokens())
		w := kv.Work{Seq: d.rows, Tokens: tokens[from : from+n]}
		if scores && from+n == len(tokens) {
			w.Logits = 1
		}
		batch := []kv.Work{w}
		f.rows = logitRows(f.rows, batch, f.block.config.Vocab)
		f.giveStates = func(to *ggml.Tensor) { give(to, from, n) }
		if err := f.block.pass(ctx, batch, f.rows); err != nil {
			return nil, err
		}
		from += n
	}
	if !scores {
		return nil, nil
	}
	return f.rows[0][0], nil
}

// kept gives hidden states that are kept, those of the tokens from a position on.
func (d *Draft) kept(position int) func(to *ggml.Tensor, from, n int) {
	return func(to *ggml.Tensor, from, n int) {
		hidden := d.drafter.block.config.Hidden
		first := (position + from - d.first) * hidden
		ggml.SetSlice(to, d.states[first:first+n*hidden], 0)
	}
}

// copyStates copies n hidden states, from one on, to the first places of a tensor.
func (f *drafter) copyStates(x *ggml.Tensor, from int, to *ggml.Tensor, n int) {
	f.states = resize(f.states, n*int(x.Ne(0)))
	ggml.GetSlice(x, f.states, int64(from)*x.Nb(1))
	ggml.SetSlice(to, f.states, 0)
}

// likeliest returns the first of the tokens with the highest score.
func likeliest(row []float32) int32 {
	best := 0
	for i, x := range row {
		if x > row[best] {
			best = i
		}
	}
	return int32(best)
}
