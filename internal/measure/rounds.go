package measure

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Pace says how much is measured.
type Pace struct {
	Rounds      int `json:"rounds"`        // each arm has a turn in each round
	WarmUp      int `json:"warm_up"`       // rounds before these, which do not count
	Steps       int `json:"steps"`         // steps that are timed in a turn
	WarmUpSteps int `json:"warm_up_steps"` // steps before these in each turn, which do not count
}

// Tokens returns how many tokens a turn of steps of one token adds.
func (p Pace) Tokens() int { return p.Steps + p.WarmUpSteps }

// Prompts returns the pace of steps that take a prompt each, which are long: one step in a turn,
// and half the rounds.
func (p Pace) Prompts() Pace { return Pace{Rounds: (p.Rounds + 1) / 2, WarmUp: p.WarmUp, Steps: 1} }

// Busy is how many cores other processes may use during a turn before they count as a disturbance.
const Busy = 0.15

// Point is where arms are compared.
type Point struct {
	Workload string
	Setting
	Depth  int // tokens in the cache when a turn begins
	Tokens int // of a step
}

// turn is the measurement of one arm in one round.
type turn struct {
	steps  []float64 // seconds of each
	others float64   // cores that other processes used
}

// Measure lets the arms take turns at a point and returns a row for each. It repeats rounds that
// other processes disturbed, at most as many as there should be in all. If too few undisturbed
// rounds are left, all rounds count and the rows say so.
func Measure(ctx context.Context, arms []Arm, at Point, p Pace) ([]Row, error) {
	var clean, disturbed [][]turn
	for r := 0; len(clean) < p.Rounds && r < p.WarmUp+2*p.Rounds; r++ {
		round, quiet := make([]turn, len(arms)), true
		for i, a := range arms {
			t, err := take(ctx, a, at, p)
			if err != nil {
				return nil, fmt.Errorf("bench: %s at depth %d: %w", a.Name(), at.Depth, err)
			}
			round[i] = t
			allowed := Busy
			if with, ok := a.(Accompanied); ok {
				allowed += with.Cores()
			}
			quiet = quiet && t.others <= allowed
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
		r.Workload, r.Arm, r.Threads, r.KVType, r.Depth, r.Tokens = at.Workload, a.Name(), at.Threads, at.KVType, at.Depth, at.Tokens
	}
	return rows, nil
}

// tally sums rounds up: one row for each arm. The disturbed rounds count only if fewer than half of
// the wanted rounds were undisturbed.
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
func take(ctx context.Context, a Arm, at Point, p Pace) (turn, error) {
	if err := a.Rewind(ctx, at.Depth); err != nil {
		return turn{}, err
	}
	if err := Settle(ctx); err != nil {
		return turn{}, err
	}
	if _, own := a.(Timed); !own {
		for range p.WarmUpSteps {
			if err := a.Step(ctx, at.Tokens); err != nil {
				return turn{}, err
			}
		}
	}
	before, start := ReadUsage(), time.Now()
	steps, err := times(ctx, a, at, p)
	if err != nil {
		return turn{}, err
	}
	return turn{steps: steps, others: ReadUsage().OthersSince(before, time.Since(start))}, nil
}

// times returns the seconds of each step of a turn.
func times(ctx context.Context, a Arm, at Point, p Pace) ([]float64, error) {
	if own, ok := a.(Timed); ok {
		return own.Turn(ctx, at.Tokens, p)
	}
	steps := make([]float64, p.Steps)
	last := time.Now()
	for i := range steps {
		if err := a.Step(ctx, at.Tokens); err != nil {
			return nil, err
		}
		now := time.Now()
		steps[i] = now.Sub(last).Seconds()
		last = now
	}
	return steps, nil
}

// Settle waits until the process uses no CPU time, for two seconds at most: threads that have
// computed poll for more work for a while before they sleep.
func Settle(ctx context.Context) error {
	const (
		window = 20 * time.Millisecond
		idle   = window / 20
		most   = 2 * time.Second
	)
	for range most / window {
		before := ReadUsage()
		select {
		case <-time.After(window):
		case <-ctx.Done():
			return ctx.Err()
		}
		if ReadUsage().own-before.own < idle {
			return nil
		}
	}
	return nil
}
