package generate_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/generate"
)

// seer guesses what the model says next, but for every some tokens.
type seer struct {
	model  *model
	wrong  int // every so many guesses one is wrong; 0: none
	err    error
	asked  int
	counts [2]int // checked, right
}

func (s *seer) Guess(ctx context.Context, ids []int32, n int, ends []int32) (guesses []int32, err error) {
	if s.err != nil {
		return nil, s.err
	}
	text := slices.Clone(ids)
	for range n {
		s.asked++
		row := s.model.logits(text)
		id := int32(slices.Index(row, slices.Max(row)))
		if slices.Contains(ends, id) {
			break
		}
		if s.wrong > 0 && s.asked%s.wrong == 0 {
			id = (id + 1) % int32(s.model.vocab)
		}
		text, guesses = append(text, id), append(guesses, id)
	}
	return guesses, ctx.Err()
}

func (s *seer) Checked(guessed, right int) {
	s.counts[0] += guessed
	s.counts[1] += right
}

func TestAGuesserChangesNoText(t *testing.T) {
	for n := 1; n <= 8; n++ {
		for _, wrong := range []int{0, 1, 3} {
			m := &model{vocab: 40}
			c := generate.Config{MaxNewTokens: 30, EOS: []int32{39}}
			want, err := stream(t.Context(), m, m.seq(), []int32{7, 5}, c)
			if err != nil {
				t.Fatal(err)
			}
			by := &seer{model: m, wrong: wrong}
			c.Guesser, c.GuessTokens = by, n
			m.calls = 0
			seq := m.seq()
			got, err := stream(t.Context(), m, seq, []int32{7, 5}, c)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%d guesses: ids %v, %v; want %v", n, got, err, want)
			}
			if want := append([]int32{7, 5}, got[:len(got)-1]...); !slices.Equal(seq.ids, want) {
				t.Errorf("%d guesses: the sequence holds %v, want %v", n, seq.ids, want)
			}
			if wrong == 0 && by.counts[0] != by.counts[1] || wrong == 1 && by.counts[1] > 0 {
				t.Errorf("%d guesses: %d of %d were right", n, by.counts[1], by.counts[0])
			}
			if m.calls != len(got)-by.counts[1] {
				t.Errorf("%d guesses: %d steps for %d tokens, %d of them guessed", n, m.calls, len(got), by.counts[1])
			}
		}
	}
}

func TestAGuesserThatFailsEndsTheStream(t *testing.T) {
	m := &model{vocab: 40}
	broken := errors.New("broken")
	seq := m.seq()
	got, err := stream(t.Context(), m, seq, []int32{7, 5}, generate.Config{MaxNewTokens: 30, Guesser: &seer{model: m, err: broken}, GuessTokens: 2})
	if !errors.Is(err, broken) || len(got) != 1 || len(seq.ids) != 2 {
		t.Errorf("ids %v, %v, and the sequence holds %v; want one token, and the error", got, err, seq.ids)
	}
}

func TestOnlyOneGuesses(t *testing.T) {
	m := &model{vocab: 40}
	c := generate.Config{Guesser: &seer{model: m}, GuessTokens: 2}
	if _, err := generate.NewBatch(m.forward, options{}).Add(request{Seq: m.seq(), Prompt: []int32{1}, Config: c}); err == nil || !strings.Contains(err.Error(), "by prompt lookup alone") {
		t.Errorf("in a batch: error %v", err)
	}
	c.LookupTokens = 2
	if _, err := stream(t.Context(), m, m.seq(), []int32{1}, c); err == nil || !strings.Contains(err.Error(), "only one of them guesses") {
		t.Errorf("with prompt lookup: error %v", err)
	}
}
