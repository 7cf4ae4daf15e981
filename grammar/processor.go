package grammar

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/seed4d217819/ebb/sample"
)

// Processor is a [sample.Processor] that keeps texts to a grammar. Its result depends on the ids
// alone. It remembers the states after recent texts, so that a search may ask for its beams in any
// order. One goroutine at a time may use it.
type Processor struct {
	grammar *Grammar
	prompt  int
	eos     []int32
	kept    []float32 // scores of eos, while the others are forbidden
	lately  []reached // the states after recent texts, the newest last
}

var _ sample.Ender = (*Processor)(nil)

// reached is the state after some tokens.
type reached struct {
	ids   []int32
	state *state
}

// rememberedTexts is how many states a processor remembers. It is enough for the texts of this step
// and of the one before, with 32 beams. A text that was forgotten is read again from its beginning.
const rememberedTexts = 64

// Processor returns a processor that keeps the tokens after the first promptLength to the grammar.
// The tokens eos end a text; nil stands for those of the vocabulary. They are allowed only where
// the grammar lets the text end, and once it lets nothing follow, no other token is allowed.
//
// Process returns an error if the text does not follow the grammar, or if no token of the
// vocabulary can continue it.
func (g *Grammar) Processor(promptLength int, eos []int32) *Processor {
	if eos == nil {
		eos = g.pieces.eog
	}
	return &Processor{grammar: g, prompt: promptLength, eos: slices.Clone(eos)}
}

// Process forbids every token after which the text could no longer become one that follows the
// grammar.
func (p *Processor) Process(ids []int32, scores []float32) error {
	if len(ids) < p.prompt {
		return fmt.Errorf("grammar: the sequence has %d tokens, and its prompt %d", len(ids), p.prompt)
	}
	g := p.grammar
	g.mu.Lock()
	defer g.mu.Unlock()
	m, output := g.matcher, ids[p.prompt:]
	m.restart()
	s, err := p.reach(output)
	if err != nil {
		return err
	}
	allowed := m.mask(g.pieces, s)
	switch {
	case m.tooMuch:
		return fmt.Errorf("grammar: after %s: %w", g.tail(output), ErrAmbiguous)
	case allowed.anyBut(p.eos, len(scores)):
	case !s.ends:
		return fmt.Errorf("grammar: cannot continue after %s: no token of the vocabulary fits", g.tail(output))
	case !slices.ContainsFunc(p.eos, func(id int32) bool { return id >= 0 && int(id) < len(scores) }):
		return fmt.Errorf("grammar: the text is complete after %s, and no token ends it", g.tail(output))
	}
	p.forbid(scores, allowed, s.ends)
	return nil
}

// Ended reports whether the text of ids is complete and nothing can follow it, not even a token
// that ends the text, because the vocabulary has none of those. It implements [sample.Ender].
func (p *Processor) Ended(ids []int32) bool {
	g := p.grammar
	vocab := len(g.pieces.texts)
	if len(ids) < p.prompt || slices.ContainsFunc(p.eos, func(id int32) bool { return id >= 0 && int(id) < vocab }) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.matcher.restart()
	s, err := p.reach(ids[p.prompt:])
	if err != nil || !s.ends {
		return false
	}
	allowed := g.matcher.mask(g.pieces, s)
	return !g.matcher.tooMuch && !allowed.anyBut(nil, vocab)
}

// forbid sets the scores of the tokens that are not allowed to -Inf.
func (p *Processor) forbid(scores []float32, allowed *mask, ends bool) {
	p.kept = p.kept[:0]
	for _, id := range p.eos {
		score := negInf
		if ends && id >= 0 && int(id) < len(scores) {
			score = scores[id]
		}
		p.kept = append(p.kept, score)
	}
	allowed.forbid(scores)
	for i, id := range p.eos {
		if id >= 0 && int(id) < len(scores) {
			scores[id] = p.kept[i]
		}
	}
}

// reach returns the state after the tokens of output. It starts from the longest beginning of
// output that it remembers.
func (p *Processor) reach(output []int32) (*state, error) {
	g, m := p.grammar, p.grammar.matcher
	s, from := m.start, 0
	for _, r := range slices.Backward(p.lately) {
		if len(r.ids) > from && len(r.ids) <= len(output) && slices.Equal(r.ids, output[:len(r.ids)]) {
			s, from = r.state, len(r.ids)
		}
	}
	if from == len(output) {
		return s, nil
	}
	for i := from; i < len(output); i++ {
		s = m.stepToken(s, output[i], g.pieces.text(output[i]))
		if m.tooMuch {
			return nil, fmt.Errorf("grammar: after %s: %w", g.tail(output[:i]), ErrAmbiguous)
		}
		if s == dead {
			return nil, fmt.Errorf("grammar: the text does not follow the grammar: token %d %q cannot come after %s",
				output[i], g.pieces.text(output[i]), g.tail(output[:i]))
		}
	}
	if len(p.lately) == rememberedTexts {
		copy(p.lately, p.lately[1:])
		p.lately = p.lately[:rememberedTexts-1]
	}
	p.lately = append(p.lately, reached{slices.Clone(output), s})
	return s, nil
}

// tail returns the end of the text of ids, quoted.
func (g *Grammar) tail(ids []int32) string {
	const most = 60
	var text []byte
	i := len(ids)
	for ; i > 0 && len(text) < most; i-- {
		text = append(slices.Clone(g.pieces.text(ids[i-1])), text...)
	}
	if i == 0 && len(text) <= most {
		return strconv.Quote(string(text))
	}
	text = text[max(len(text)-most, 0):]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return "…" + strconv.Quote(string(text))
}
