package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tokenizer"
)

const (
	// lookupTokens is how many tokens are guessed for a pass.
	lookupTokens = 10
	// targetLookup is how many times as fast guesses should make a text that
	// repeats its prompt, over a slow link.
	targetLookup = 2
)

// passage is what the text repeats. It hardly says the same twice, so that a
// guess that is wrong is not the passage's fault.
const passage = `The harbour master of Lindow keeps three books. In the first she writes which ships came in, with their
cargo and the hour. The second holds what each captain owes for water, rope and a berth by the north quay. A third, bound in
green leather, lists storms: how long the wind blew, whose boat was lost, and what the tide brought back afterwards. Nobody
but her has read it, although every child in town claims to know the last page.

`

// lookup compares a text that repeats its prompt with and without prompt lookup.
// It is the best that can happen to guesses, as far as the model does repeat it.
func lookup(ctx context.Context, o Options, _ Model) (res Result, err error) {
	prompt, n, err := quotingPrompt(o)
	if err != nil {
		return res, err
	}
	for _, s := range o.settings() {
		if err := lookupIn(ctx, o, s, prompt, n, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func lookupIn(ctx context.Context, o Options, s setting, prompt []int32, n int, res *Result) error {
	at := point{"lookup", s, len(prompt) - 1, n}
	rows, each, err := measureLookup(ctx, o, at, "ebb static", ebb.Options{Cache: kv.Static}, prompt, res)
	if err != nil {
		return err
	}
	res.Scores = append(res.Scores, speedScore(rows[1], rows[0], 0))

	compute := rows[0].P25 / float64(n)
	bytes := float64(each) * (float64(at.depth) + float64(n-1)/2) // of a step halfway
	paced := ebb.Options{Cache: kv.Offloaded, Link: bytes / (slowLink * compute), Slots: o.Slots}
	if rows, _, err = measureLookup(ctx, o, at, linkLabel(o.Slots, slowLink), paced, prompt, res); err != nil {
		return err
	}
	res.Scores = append(res.Scores, speedScore(rows[1], rows[0], targetLookup))
	return nil
}

// measureLookup returns the rows without and with guesses, and what the K/V of a
// token take. It adds to the result what else is known of them.
func measureLookup(ctx context.Context, o Options, at point, label string, with ebb.Options, prompt []int32, res *Result) (rows []Row, each int64, err error) {
	o.Progress(fmt.Sprintf("lookup, %v, %s", at.setting, label))
	with.Context = len(prompt) + at.tokens
	var arms []arm
	defer func() { err = errors.Join(err, closeAll(arms)) }()
	var both []*lookupArm
	for _, guesses := range []int{0, lookupTokens} {
		a, err := openEbb(label, o, at.setting, with)
		if err != nil {
			return nil, 0, err
		}
		l := &lookupArm{ebbArm: a, prompt: prompt, guesses: guesses}
		both, arms = append(both, l), append(arms, l)
		if each, err = a.rowBytes(at.setting); err != nil {
			return nil, 0, err
		}
	}
	if rows, err = measure(ctx, arms, at, o.Pace.prompts()); err != nil {
		return nil, 0, err
	}
	res.Rows = append(res.Rows, rows...)
	without, guessed := both[0], both[1]
	name := fmt.Sprintf("%s, %v: ", guessed.name(), at.setting)
	res.Figures = append(res.Figures,
		Figure{Workload: at.workload, Name: name + "guesses that were right", Value: float64(len(guessed.text) - guessed.passes), Unit: fmt.Sprintf("of %d tokens", len(guessed.text))},
		Figure{Workload: at.workload, Name: name + "tokens a pass", Value: float64(len(guessed.text)) / float64(guessed.passes)})
	if i := firstDifference(without.text, guessed.text); i >= 0 {
		res.note(fmt.Sprintf("lookup: %sanother text than without guesses, from token %d of %d on: compare the speeds with care.", name, i+1, at.tokens))
	}
	return rows, each, nil
}

// firstDifference returns where two texts begin to differ, and -1 if they are
// the same.
func firstDifference(a, b []int32) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) == len(b) {
		return -1
	}
	return min(len(a), len(b))
}

// quotingPrompt returns a prompt that a text quotes, and how many tokens the
// rest of the quotation has. For a model that does not know the passage's
// letters, or has no room for it, its tokens are any.
func quotingPrompt(o Options) (prompt []int32, rest int, err error) {
	t, err := tokenizer.Open(o.Model)
	if err != nil {
		return nil, 0, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	first, err := t.Encode("", tokenizer.Options{AddSpecial: true})
	if err != nil {
		return nil, 0, fmt.Errorf("bench: %w", err)
	}
	ids, err := t.Encode(passage, tokenizer.Options{})
	if err == nil && t.Decode(ids, false) == passage {
		if prompt, rest = quoting(first, ids); len(prompt)+rest <= o.Context {
			return prompt, rest, nil
		}
	}
	prompt, rest = quoting(nil, tokens(nil, 0, max(1, min(64, o.Context/4)), t.Size()))
	return prompt, rest, nil
}

// quoting returns a prompt that has the tokens twice and begins with them a third
// time, and how many are missing then.
func quoting(first, ids []int32) (prompt []int32, rest int) {
	begun := len(ids) / 4
	return slices.Concat(first, ids, ids, ids[:begun]), len(ids) - begun
}

// lookupArm generates a text in a step, greedily and with guesses.
type lookupArm struct {
	*ebbArm
	prompt  []int32
	guesses int     // for a pass; 0: none
	text    []int32 // generated last
	passes  int     // that it took
}

func (a *lookupArm) name() string {
	if a.guesses == 0 {
		return a.label
	}
	return fmt.Sprintf("%s, %d guesses", a.label, a.guesses)
}

// rewind makes the first depth tokens of the prompt the whole sequence.
func (a *lookupArm) rewind(ctx context.Context, depth int) error {
	have := a.seq.Len()
	if depth <= have {
		return a.seq.Truncate(depth)
	}
	_, err := a.engine.Forward(ctx, []kv.Work{{Seq: a.seq, Tokens: a.prompt[have:depth]}})
	return err
}

// step takes what is left of the prompt and n tokens more, whether the text ends
// before or not.
func (a *lookupArm) step(ctx context.Context, n int) error {
	before := a.engine.Stats().Cache.Steps
	a.text = a.text[:0]
	config := ebb.GenerationConfig{MaxNewTokens: n, EOSTokenID: ebb.TokenIDs{}, PromptLookupNumTokens: a.guesses}
	for t, err := range a.engine.GenerateTokens(ctx, a.seq, a.prompt[a.seq.Len():], config) {
		if err != nil {
			return err
		}
		a.text = append(a.text, t.ID)
	}
	a.passes = a.engine.Stats().Cache.Steps - before
	return nil
}
