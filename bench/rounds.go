package bench

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Pace says how much is measured.
type Pace struct {
	Rounds      int `json:"rounds"`        // in which each arm has a turn
	WarmUp      int `json:"warm_up"`       // rounds before them, dropped
	Steps       int `json:"steps"`         // timed in a turn
	WarmUpSteps int `json:"warm_up_steps"` // before them in each turn, dropped
}

// tokens returns how far a turn of steps of one token goes past its depth.
func (p Pace) tokens() int { return p.Steps + p.WarmUpSteps }

// prompts returns the pace of steps that take a prompt each: one in a turn, and
// half the rounds, as they take so much longer.
func (p Pace) prompts() Pace { return Pace{Rounds: (p.Rounds + 1) / 2, WarmUp: p.WarmUp, Steps: 1} }

// busy is the share of a core from which on other processes disturb a turn.
const busy = 0.15

// point is where arms are compared.
type point struct {
	workload string
	setting
	depth  int // tokens in the cache when a turn begins
	tokens int // of a step
}

// turn is what was measured of one arm in one round.
type turn struct {
	steps  []float64 // seconds
	others float64   // cores that other processes used
}

// measure lets the arms take turns at a point and returns a row for each.
// Rounds that other processes disturbed are repeated, as many as there should
// be in all; if too few are left, all count and the rows say so.
func measure(ctx context.Context, arms []arm, at point, p Pace) ([]Row, error) {
	var clean, disturbed [][]turn
	for r := 0; len(clean) < p.Rounds && r < p.WarmUp+2*p.Rounds; r++ {
		round, quiet := make([]turn, len(arms)), true
		for i, a := range arms {
			t, err := take(ctx, a, at, p)
			if err != nil {
				return nil, fmt.Errorf("bench: %s at depth %d: %w", a.name(), at.depth, err)
			}
			round[i] = t
			quiet = quiet && t.others <= busy+ownPrograms(a)
		}
		switch {
		case r < p.WarmUp:
		case quiet:
			clean = append(clean, round)
		default:
			disturbed = append(disturbed, round)
		}
	}
	rows := tally(clean, disturbed, p.Rounds)
	for i, a := range arms {
		r := &rows[i]
		r.Workload, r.Arm, r.Threads, r.KVType, r.Depth, r.Tokens = at.workload, a.name(), at.threads, at.kvType, at.depth, at.tokens
	}
	return rows, nil
}

// tally sums rounds up: one row for each arm. The disturbed rounds count only
// if fewer than half of those wanted are without disturbance.
func tally(clean, disturbed [][]turn, wanted int) []Row {
	used := slices.Clone(clean)
	if len(clean) < (wanted+1)/2 {
		used = append(used, disturbed...)
	}
	var rows []Row
	for i := range used[0] {
		row := Row{Rounds: len(used), Disturbed: len(used) - len(clean)}
		for _, round := range used {
			row.Samples = append(row.Samples, round[i].steps...)
			row.Others = max(row.Others, round[i].others)
		}
		row.Summary = Summarize(row.Samples)
		rows = append(rows, row)
	}
	return rows
}

// take gives an arm its turn.
func take(ctx context.Context, a arm, at point, p Pace) (turn, error) {
	if err := a.rewind(ctx, at.depth); err != nil {
		return turn{}, err
	}
	if err := settle(ctx); err != nil {
		return turn{}, err
	}
	for range p.WarmUpSteps {
		if err := a.step(ctx, at.tokens); err != nil {
			return turn{}, err
		}
	}
	t := turn{steps: make([]float64, p.Steps)}
	before, start := readUsage(), time.Now()
	last := start
	for i := range t.steps {
		if err := a.step(ctx, at.tokens); err != nil {
			return turn{}, err
		}
		now := time.Now()
		t.steps[i] = now.Sub(last).Seconds()
		last = now
	}
	t.others = readUsage().othersSince(before, last.Sub(start))
	return t, nil
}

// settle waits until the process uses no CPU time: threads that have computed
// poll for more work for a while before they sleep.
func settle(ctx context.Context) error {
	const (
		window = 20 * time.Millisecond
		idle   = window / 20
		most   = 2 * time.Second
	)
	for range most / window {
		before := readUsage()
		select {
		case <-time.After(window):
		case <-ctx.Done():
			return ctx.Err()
		}
		if readUsage().own-before.own < idle {
			return nil
		}
	}
	return nil
}
