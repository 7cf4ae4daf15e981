package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/tokenizer"
)

const (
	// lookupTokens is how many tokens are guessed for a pass.
	lookupTokens = 10
	// targetLookup is how many times as fast guesses should make a text that repeats its prompt,
	// over a slow link.
	targetLookup = 2
)

// passage is the text that the model repeats. It hardly says anything twice, so that a wrong guess
// is not the fault of the passage.
const passage = `The harbour master of Lindow keeps three books. In the first she writes which ships came in, with their
cargo and the hour. The second holds what each captain owes for water, rope and a berth by the north quay. A third, bound in
green leather, lists storms: how long the wind blew, whose boat was lost, and what the tide brought back afterwards. Nobody
but her has read it, although every child in town claims to know the last page.

`

// lookup compares a text that repeats its prompt with and without prompt lookup. It is the best
// case for guesses, as far as the model does repeat the prompt.
func lookup(ctx context.Context, o measure.Options, _ measure.Model) (res measure.Result, err error) {
	prompt, n, err := quotingPrompt(o)
	if err != nil {
		return res, err
	}
	for _, s := range o.Settings() {
		if err := lookupIn(ctx, o, s, prompt, n, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

func lookupIn(ctx context.Context, o measure.Options, s measure.Setting, prompt []int32, n int, res *measure.Result) error {
	at := measure.Point{Workload: "lookup", Setting: s, Depth: len(prompt) - 1, Tokens: n}
	rows, each, err := measureLookup(ctx, o, at, "ebb static", ebb.Options{Cache: kv.Static}, prompt, res)
	if err != nil {
		return err
	}
	res.Scores = append(res.Scores, measure.SpeedScore(rows[1], rows[0], 0))

	compute := rows[0].P25 / float64(n)
	bytes := float64(each) * (float64(at.Depth) + float64(n-1)/2) // of a step halfway
	paced := ebb.Options{Cache: kv.Offloaded, Link: bytes / (slowLink * compute), Slots: o.Slots}
	if rows, _, err = measureLookup(ctx, o, at, measure.LinkLabel(o.Slots, slowLink), paced, prompt, res); err != nil {
		return err
	}
	res.Scores = append(res.Scores, measure.SpeedScore(rows[1], rows[0], targetLookup))
	return nil
}

// measureLookup returns the rows without and with guesses, and the bytes of the K/V of a token. It
// adds the rows, figures and notes to the result.
func measureLookup(ctx context.Context, o measure.Options, at measure.Point, label string, with ebb.Options, prompt []int32, res *measure.Result) (rows []measure.Row, each int64, err error) {
	o.Progress(fmt.Sprintf("lookup, %v, %s", at.Setting, label))
	with.Context = len(prompt) + at.Tokens
	var arms []measure.Arm
	defer func() { err = errors.Join(err, measure.CloseAll(arms)) }()
	var both []*lookupArm
	for _, guesses := range []int{0, lookupTokens} {
		a, err := measure.OpenEbb(label, o, at.Setting, with)
		if err != nil {
			return nil, 0, err
		}
		l := &lookupArm{Ebb: a, prompt: prompt, guesses: guesses}
		both, arms = append(both, l), append(arms, l)
		if each, err = a.RowBytes(at.Setting); err != nil {
			return nil, 0, err
		}
	}
	if rows, err = measure.Measure(ctx, arms, at, o.Pace.Prompts()); err != nil {
		return nil, 0, err
	}
	res.Rows = append(res.Rows, rows...)
	without, guessed := both[0], both[1]
	name := fmt.Sprintf("%s, %v: ", guessed.Name(), at.Setting)
	res.Figures = append(res.Figures,
		measure.Figure{Workload: at.Workload, Name: name + "guesses that were right", Value: float64(len(guessed.text) - guessed.passes), Unit: fmt.Sprintf("of %d tokens", len(guessed.text))},
		measure.Figure{Workload: at.Workload, Name: name + "tokens a pass", Value: float64(len(guessed.text)) / float64(guessed.passes)})
	if i := firstDifference(without.text, guessed.text); i >= 0 {
		res.Note(fmt.Sprintf("lookup: %sanother text than without guesses, from token %d of %d on: compare the speeds with care.", name, i+1, at.Tokens))
	}
	return rows, each, nil
}

// firstDifference returns where two texts begin to differ, and -1 if they are equal.
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

// quotingPrompt returns a prompt that ends in the middle of a quotation, and how many tokens the
// rest of the quotation has. For a model that cannot spell the passage, or whose context cannot
// hold it, it quotes arbitrary tokens.
func quotingPrompt(o measure.Options) (prompt []int32, rest int, err error) {
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
	prompt, rest = quoting(nil, measure.Tokens(nil, 0, max(1, min(64, o.Context/4)), t.Size()))
	return prompt, rest, nil
}

// quoting returns a prompt that has the tokens twice and begins them a third time, and how many are
// missing then.
func quoting(first, ids []int32) (prompt []int32, rest int) {
	begun := len(ids) / 4
	return slices.Concat(first, ids, ids, ids[:begun]), len(ids) - begun
}

// lookupArm generates a text in a step, greedily and with guesses.
type lookupArm struct {
	*measure.Ebb
	prompt  []int32
	guesses int     // for a pass; 0: none
	text    []int32 // the one generated last
	passes  int     // how many it took
}

func (a *lookupArm) Name() string {
	if a.guesses == 0 {
		return a.Label
	}
	return fmt.Sprintf("%s, %d guesses", a.Label, a.guesses)
}

// Rewind makes the first depth tokens of the prompt the whole sequence.
func (a *lookupArm) Rewind(ctx context.Context, depth int) error {
	have := a.Seq.Len()
	if depth <= have {
		return a.Seq.Truncate(depth)
	}
	_, err := a.Engine.Forward(ctx, []kv.Work{{Seq: a.Seq, Tokens: a.prompt[have:depth]}})
	return err
}

// Step takes the rest of the prompt and generates n tokens, even if the text ends before.
func (a *lookupArm) Step(ctx context.Context, n int) error {
	before := a.Engine.Stats().Cache.Steps
	a.text = a.text[:0]
	config := ebb.GenerationConfig{MaxNewTokens: n, EOSTokenID: ebb.TokenIDs{}, PromptLookupNumTokens: a.guesses}
	for t, err := range a.Engine.GenerateTokens(ctx, a.Seq, a.prompt[a.Seq.Len():], config) {
		if err != nil {
			return err
		}
		a.text = append(a.text, t.ID)
	}
	a.passes = a.Engine.Stats().Cache.Steps - before
	return nil
}
