package generate

import (
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb/sample"
)

// golden spreads the seeds of lines: 2^64 divided by the golden ratio.
const golden = 0x9E3779B97F4A7C15

// lines is a search for texts that have nothing to do with each other: each goes on with the most probable token, or
// with one that is drawn.
type lines struct {
	config   Config
	scorer   scorer
	lines    []line
	branches []Branch
	begun    bool // the prompt was forwarded
}

// line is one of the texts.
type line struct {
	ids    []int32 // the prompt's, and those of tokens
	tokens []Token
	score  float64
	finish Finish
	cutter *Cutter // nil where nothing is searched for

	sampler *sample.Sampler // nil where nothing is drawn

	branch int     // its number among the search's
	next   []int32 // its tokens there: the last one, and guesses what comes after it
}

func newLines(prompt []int32, held int, c Config, chain *sample.Chain) *lines {
	s := &lines{config: c, lines: make([]line, c.Sequences), scorer: scorer{chain: chain}}
	for i := range s.lines {
		l := &s.lines[i]
		l.ids = slices.Clone(prompt)
		if c.Sample {
			l.sampler = sample.NewSampler(c.Seed ^ uint64(i)*golden)
		}
		if len(c.Stop) > 0 {
			l.cutter = NewCutter(c.Stop)
		}
	}
	s.branches = []Branch{{Len: held, Tokens: s.lines[0].ids[held:], Logits: 1}}
	return s
}

func (s *lines) Branches() []Branch { return s.branches }

func (s *lines) Take(rows [][][]float32) (err error) {
	for i := range s.lines {
		l := &s.lines[i]
		if l.finish != Unfinished {
			continue
		}
		if err = s.advance(l, rows[l.branch]); err != nil {
			err = fmt.Errorf("generate: token %d: %w", len(l.tokens)+1, err)
			break
		}
	}
	s.begun = true
	s.branch()
	return err
}

// advance goes on with one line. The first row follows the last token; each other one follows a guess, and holds if the
// guess was right.
func (s *lines) advance(l *line, rows [][]float32) error {
	for i, row := range rows {
		token, err := s.choose(l, row)
		if err != nil {
			return err
		}
		l.tokens, l.ids = append(l.tokens, token), append(l.ids, token.ID)
		l.score += token.LogProb
		switch n := len(l.tokens); {
		case slices.Contains(s.config.EOS, token.ID):
			l.finish = EndToken
		case l.cutter != nil && l.cutter.ends(s.config.Piece(token.ID)):
			l.finish = StopString
		case n == s.config.MaxNewTokens:
			l.finish = LengthLimit
		}
		if l.finish != Unfinished || i+1 == len(rows) || l.next[i+1] != token.ID {
			return nil
		}
	}
	return nil
}

// choose returns the token that follows a line.
func (s *lines) choose(l *line, row []float32) (t Token, err error) {
	var scores []float32
	if l.sampler != nil {
		t.ID, scores, err = s.scorer.draw(l.sampler, l.ids, row)
	} else {
		t.ID, scores, err = s.scorer.best(l.ids, row)
	}
	if err != nil {
		return t, err
	}
	if s.config.LogProbs {
		sum, err := sample.LogSumExp(scores)
		if err != nil {
			return t, err
		}
		t.LogProb = float64(scores[t.ID]) - sum
	}
	t.Top, err = candidates(scores, s.config.Top)
	return t, err
}

// branch lays out what is to be forwarded next.
func (s *lines) branch() {
	next := s.branches[:0]
	for i := range s.lines {
		l := &s.lines[i]
		if l.finish != Unfinished && len(s.lines) > 1 {
			continue
		}
		b := Branch{From: l.branch, Len: len(l.ids) - 1}
		if l.finish == Unfinished {
			l.next = append(append(l.next[:0], l.ids[len(l.ids)-1]), s.guess(l)...)
			b.Tokens, b.Logits, b.Draft = l.next, len(l.next), len(l.next)-1
		}
		l.branch = len(next)
		next = append(next, b)
	}
	s.branches = next
}

// guess returns what may come after a line's last token.
func (s *lines) guess(l *line) []int32 {
	n := s.config.LookupTokens
	if most := s.config.MaxNewTokens; most > 0 {
		n = min(n, most-len(l.tokens)-1)
	}
	return lookup(l.ids, n, s.config.LookupNgram, s.config.EOS)
}

func (s *lines) Stop(f Finish) {
	for i := range s.lines {
		if s.lines[i].finish == Unfinished {
			s.lines[i].finish = f
		}
	}
	if s.begun {
		s.branch()
	} else {
		s.branches = nil
	}
}

func (s *lines) Results() []Text {
	texts := make([]Text, len(s.lines))
	for i, l := range s.lines {
		texts[i] = Text{Tokens: l.tokens, Score: l.score, Finish: l.finish}
	}
	return texts
}
