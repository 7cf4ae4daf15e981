package generate

import (
	"context"

	"github.com/seed4d217819/ebb/sample"
)

// golden makes the seeds of samples differ in many bits: it is 2^64 divided by the golden ratio.
const golden = 0x9E3779B97F4A7C15

// samples is a search for texts that are independent of each other.
type samples struct {
	config   Config
	scorer   scorer
	texts    []single
	place    []int // for each text that goes on, the index of its branch
	branches []Branch
}

func newSamples(prompt []int32, held int, c Config, chain *sample.Chain) *samples {
	s := &samples{config: c, scorer: scorer{chain: chain}, place: make([]int, c.Texts)}
	for i := range c.Texts {
		s.texts = append(s.texts, newSingle(prompt, c.Seed^uint64(i)*golden, &s.config, &s.scorer))
	}
	s.branches = []Branch{{Len: held, Tokens: s.texts[0].ids[held:], Logits: 1}}
	return s
}

func (s *samples) Branches() []Branch { return s.branches }

func (s *samples) IDs(branch int) []int32 {
	for i := range s.texts {
		if s.place[i] == branch && s.texts[i].finish == Unfinished {
			return s.texts[i].ids
		}
	}
	return nil
}

func (s *samples) Take(rows [][][]float32) error {
	for i := range s.texts {
		t := &s.texts[i]
		if t.finish != Unfinished {
			continue
		}
		if err := t.take(rows[s.place[i]]); err != nil {
			s.branches = nil
			return err
		}
	}
	s.branch()
	return nil
}

// branch lists what is to be computed next.
func (s *samples) branch() {
	next := s.branches[:0]
	for i := range s.texts {
		t := &s.texts[i]
		if t.finish != Unfinished {
			continue
		}
		_ = t.guess(context.Background()) // by prompt lookup, which never fails and waits for nothing
		from := s.place[i]
		s.place[i] = len(next)
		next = append(next, Branch{From: from, Len: len(t.ids) - 1, Tokens: t.next, Logits: len(t.next), Draft: len(t.next) - 1})
	}
	s.branches = next
}

func (s *samples) Stop(f Finish) {
	for i := range s.texts {
		s.texts[i].stop(f)
	}
	s.branches = nil
}

func (s *samples) Results() []Text { return s.appendResults(make([]Text, 0, len(s.texts))) }

func (s *samples) appendResults(texts []Text) []Text {
	for i := range s.texts {
		t := &s.texts[i]
		texts = append(texts, Text{Tokens: t.tokens, Score: t.score, Finish: t.finish})
	}
	return texts
}
