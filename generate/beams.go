package generate

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/seed4d217819/ebb/sample"
)

// beams is a beam search: one group of beams, or several groups that a penalty makes differ. Its
// rules, their order and precision are those of Hugging Face transformers 4.49 (BeamSearchScorer):
// scores are float32 sums of log-probabilities, and are compared as float64.
type beams struct {
	config   Config
	scorer   scorer
	groups   []group
	prompt   int // how many tokens it has
	chosen   int // how many tokens each beam has chosen
	branches []Branch
	next     []int32 // the tokens of branches
	finish   Finish  // why the beams that have not ended stop
	random   *rand.Rand

	others []int32 // tokens that earlier groups have chosen in this step
	picked top     // candidates of a group
	tops   [][]Candidate
	norms  []float64 // of the beams' rows: a logit minus this is its log-probability
	spare  [][]int32 // ids of dropped beams, to be used again
	ids    []int32   // of a beam that may have ended
}

// group is the beams that compete with each other.
type group struct {
	beams    []beam
	children []beam // the next ones, while they are being made
	ended    ranking
	done     bool
}

// beam is a text that may go on.
type beam struct {
	ids    []int32 // those of the prompt and of the new tokens
	last   *link
	sum    float32 // of the new tokens' scores
	cutter Cutter  // has seen the new tokens
	branch int     // its index among the branches
}

// link is a token of a beam. Beams with a common history share its links.
type link struct {
	before *link
	token  Token
	beam   int32 // the beam of its group that it continued
}

func newBeams(prompt []int32, held int, c Config, chain *sample.Chain) *beams {
	s := &beams{config: c, prompt: len(prompt), groups: make([]group, c.Groups), scorer: scorer{chain: chain, valid: c.Scores.RemoveInvalidValues}}
	if c.Sample {
		s.random = rand.New(rand.NewPCG(c.Seed, 0))
	}
	for i := range s.groups {
		s.groups[i].ended = ranking{size: c.Beams / c.Groups, penalty: c.LengthPenalty, worst: 1e9}
		// At first all beams would be the same, so there is only one.
		s.groups[i].beams = []beam{{ids: slices.Clone(prompt), cutter: *NewCutter(c.Stop)}}
	}
	s.branches = []Branch{{Len: held, Tokens: s.groups[0].beams[0].ids[held:], Logits: 1}}
	return s
}

func (s *beams) Branches() []Branch { return s.branches }

func (s *beams) IDs(branch int) []int32 {
	for i := range s.groups {
		for j := range s.groups[i].beams {
			if b := &s.groups[i].beams[j]; !s.groups[i].done && b.branch == branch {
				return b.ids
			}
		}
	}
	return nil
}

func (s *beams) Take(rows [][][]float32) error {
	s.chosen++
	s.others = s.others[:0]
	for i := range s.groups {
		g := &s.groups[i]
		if g.done {
			for range g.ended.size {
				s.others = append(s.others, s.config.Pad)
			}
			continue
		}
		if err := s.advance(g, rows); err != nil {
			s.branches = nil
			return fmt.Errorf("generate: token %d: %w", s.chosen, err)
		}
		for _, b := range g.beams {
			s.others = append(s.others, b.last.token.ID)
		}
	}
	if s.chosen == s.config.MaxNewTokens {
		s.finish = LengthLimit
	}
	s.branch()
	return nil
}

// advance goes on with one group.
func (s *beams) advance(g *group, rows [][][]float32) error {
	candidates, vocab, err := s.candidates(g, rows)
	if err != nil {
		return err
	}
	if len(candidates) == 0 && len(g.ended.texts) == 0 {
		return sample.ErrNoToken
	}
	g.children = g.children[:0]
	for rank, c := range candidates {
		b, id := c.index/vocab, int32(c.index%vocab)
		parent := &g.beams[b]
		next := beam{last: &link{before: parent.last, beam: int32(b)}, sum: parent.sum + c.score, cutter: parent.cutter, branch: parent.branch}
		next.last.token = Token{ID: id, LogProb: float64(c.score), Top: s.tops[b]}
		if s.config.RawLogProbs {
			next.last.token.LogProb = float64(rows[parent.branch][0][id]) - s.norms[b]
		}
		if f := s.ends(&next, parent.ids); f != Unfinished {
			if rank < g.ended.size {
				g.ended.add(next.last, next.sum, s.chosen, f)
			}
			continue
		}
		if g.children = append(g.children, next); len(g.children) == g.ended.size {
			break
		}
	}
	g.done = len(g.children) == 0 || s.isDone(g, g.beams[candidates[0].index/vocab].sum+candidates[0].score)
	s.grow(g)
	return nil
}

// candidates returns the best tokens for the beams of a group, or drawn ones, and the size of the
// vocabulary. There are enough of them that at least as many as there are beams do not end the
// text.
func (s *beams) candidates(g *group, rows [][][]float32) (best []scored, vocab int, err error) {
	s.picked.reset(max(2, 1+len(s.config.EOS)) * g.ended.size)
	s.tops, s.norms = s.tops[:0], s.norms[:0]
	for b := range g.beams {
		beam := &g.beams[b]
		row := rows[beam.branch][0]
		vocab = len(row)
		scores, err := s.scorer.logProbs(s.others, beam.ids, row)
		if err != nil {
			return nil, 0, err
		}
		if err := s.report(row, scores); err != nil {
			return nil, 0, err
		}
		floor := s.picked.floor()
		for i, x := range scores {
			key := x + beam.sum
			if s.random != nil {
				key = s.perturb(key)
			}
			if key <= floor {
				continue
			}
			if !(x <= math.MaxFloat32) {
				_, err := sample.Argmax(scores) // the error names the token
				return nil, 0, err
			}
			s.picked.keep(scored{key: key, index: b*vocab + i, score: x})
			floor = s.picked.floor()
		}
	}
	best = s.picked.sorted()
	if s.random != nil {
		slices.SortStableFunc(best, func(a, b scored) int {
			return cmp.Compare(g.beams[b.index/vocab].sum+b.score, g.beams[a.index/vocab].sum+a.score)
		})
	}
	return best, vocab, nil
}

// report notes what is reported of the tokens that follow a beam. scores is its row after processing.
func (s *beams) report(row, scores []float32) error {
	if s.config.RawLogProbs {
		norm, err := sample.LogSumExp(row)
		if err != nil {
			return err
		}
		s.norms, scores = append(s.norms, norm), row
	}
	likely, err := candidates(scores, s.config.Top)
	s.tops = append(s.tops, likely)
	return err
}

// perturb adds Gumbel noise to a score: the tokens with the greatest results are a sample without
// replacement (Kool and others, 2019).
func (s *beams) perturb(score float32) float32 {
	if score < -math.MaxFloat32 {
		return score
	}
	return score - float32(math.Log(s.random.ExpFloat64()))
}

// ends returns why a beam ends with its last token, or Unfinished. before are the ids before that
// one. As in the reference, the first end token stands for all.
func (s *beams) ends(b *beam, before []int32) Finish {
	id := b.last.token.ID
	if slices.Contains(s.config.EOS, id) {
		b.last.token.ID = s.config.EOS[0]
		return EndToken
	}
	if len(s.config.Stop) > 0 && b.cutter.ends(s.config.Piece(id)) {
		return StopString
	}
	if s.scorer.chain.CanEnd() {
		if s.ids = append(append(s.ids[:0], before...), id); s.scorer.chain.Ended(s.ids) {
			return GrammarEnd
		}
	}
	return Unfinished
}

// grow replaces the beams of a group by their children.
func (s *beams) grow(g *group) {
	n := s.prompt + s.chosen - 1
	for i := range g.children {
		c := &g.children[i]
		parent := &g.beams[c.last.beam]
		if parent.ids != nil {
			c.ids, parent.ids = parent.ids, nil
		} else {
			first := slices.IndexFunc(g.children, func(b beam) bool { return b.last.beam == c.last.beam })
			c.ids = append(s.buffer(), g.children[first].ids[:n]...)
		}
		c.ids = append(c.ids, c.last.token.ID)
	}
	for i := range g.beams {
		if ids := g.beams[i].ids; ids != nil {
			s.spare = append(s.spare, ids[:0])
		}
	}
	g.beams, g.children = g.children, g.beams
}

// buffer returns an empty slice for ids.
func (s *beams) buffer() []int32 {
	n := len(s.spare)
	if n == 0 {
		return nil
	}
	ids := s.spare[n-1]
	s.spare = s.spare[:n-1]
	return ids
}

// isDone reports whether a group has found its texts. best is the sum of this step's best
// candidate, which may or may not have ended a text.
func (s *beams) isDone(g *group, best float32) bool {
	if !g.ended.full() {
		return false
	}
	n := s.chosen
	switch s.config.EarlyStopping {
	case StopWhenEnough:
		return true
	case StopWhenCertain:
		if s.config.LengthPenalty > 0 {
			if n = s.config.MaxNewTokens; n == 0 {
				return false // a beam could become arbitrarily good
			}
		}
	case StopWhenUnlikely:
	}
	return g.ended.worst >= lengthScore(best, n, s.config.LengthPenalty)
}

// branch lists what is to be computed next.
func (s *beams) branch() {
	s.branches = s.branches[:0]
	if s.finish != Unfinished {
		return
	}
	s.next = slices.Grow(s.next[:0], s.config.Beams)
	for i := range s.groups {
		g := &s.groups[i]
		if g.done {
			continue
		}
		for j := range g.beams {
			b := &g.beams[j]
			k := len(s.next)
			s.next = append(s.next, b.last.token.ID)
			s.branches = append(s.branches, Branch{From: b.branch, Len: len(b.ids) - 1, Tokens: s.next[k : k+1], Logits: 1})
			b.branch = k
		}
	}
}

func (s *beams) Stop(f Finish) {
	s.finish, s.branches = f, nil
}

// Results returns the best texts of all groups together.
func (s *beams) Results() []Text {
	var all []hypothesis
	for i := range s.groups {
		g := &s.groups[i]
		ended := g.ended.clone()
		if !g.done && s.chosen > 0 {
			for j := range g.beams {
				ended.add(g.beams[j].last, g.beams[j].sum, s.chosen, s.finish)
			}
		}
		all = append(all, ended.texts...)
	}
	return bestTexts(all, s.config.Texts)
}
