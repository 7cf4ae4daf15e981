package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/tokenizer"
)

// answerArm takes the tokens of an answer in some way.
type answerArm struct {
	name   string
	served *served
	// take takes n tokens, and returns the seconds of each but the first: from the end of a step to the end
	// of the next one, or from token to token.
	take func(ctx context.Context, n int) (seconds []float64, err error)

	steps, all time.Duration // of the service: in steps, and from the end of the first one to that of the last
}

var _ measure.Timed = (*answerArm)(nil)

func (a *answerArm) Name() string                      { return a.name }
func (a *answerArm) Rewind(context.Context, int) error { return nil }
func (a *answerArm) Step(context.Context, int) error   { return errors.ErrUnsupported }
func (a *answerArm) Close() error                      { return nil }

// throughHTTP reports whether the answer goes through HTTP.
func (a *answerArm) throughHTTP() bool { return strings.HasPrefix(a.name, "HTTP") }

// Turn takes an answer. The time of its tokens, but those of the warm-up, is shared among them: what holds
// one of many steps up counts, too.
func (a *answerArm) Turn(ctx context.Context, _ int, p measure.Pace) ([]float64, error) {
	n := 1 + p.WarmUpSteps + p.Steps
	a.served.steps.begin(n)
	seconds, err := a.take(ctx, n)
	if err != nil {
		return nil, err
	}
	if len(seconds) < p.Steps {
		return nil, fmt.Errorf("%s: %d tokens have come, want %d", a.name, len(seconds)+1, n)
	}
	steps, all := a.served.steps.spent()
	a.steps, a.all = a.steps+steps, a.all+all
	sum := 0.0
	for _, s := range seconds[len(seconds)-p.Steps:] {
		sum += s
	}
	return even(sum, p.Steps), nil
}

// share returns the share of its time that the service has spent in steps.
func (a *answerArm) share() float64 { return a.steps.Seconds() / a.all.Seconds() }

// prompt returns the question as the model reads it: its text, and its tokens.
func (l *served) prompt() (text string, tokens []int32, err error) {
	if text, err = l.Render(l.request.Chat); err != nil {
		return "", nil, err
	}
	tokens, err = l.Tokenizer().Encode(text, tokenizer.Options{ParseSpecial: true})
	return text, tokens, err
}

// intervals returns the seconds from each time to the next one.
func intervals(times []time.Time) (seconds []float64) {
	for i := range max(0, len(times)-1) {
		seconds = append(seconds, times[i+1].Sub(times[i]).Seconds())
	}
	return seconds
}

// stream takes the tokens of a stream, and reads them as `ebb run` does.
func (l *served) stream(ctx context.Context, n int) (seconds []float64, err error) {
	text, tokens, err := l.prompt()
	if err != nil {
		return nil, err
	}
	template, err := l.engine.Template()
	if err != nil {
		return nil, err
	}
	parser := template.Format(l.engine.Config().Architecture).NewParser(chat.ParserOptions{Prompt: text})
	seq := l.engine.NewSeq()
	defer func() { err = errors.Join(err, seq.Close()) }()
	var said chat.Message
	times := make([]time.Time, 0, n)
	for piece, err := range l.engine.Decode(l.engine.GenerateTokens(ctx, seq, tokens, endlessText(n)), nil) {
		if err != nil {
			return nil, err
		}
		for _, e := range parser.Next(piece.Text) {
			said.Append(e)
		}
		times = append(times, time.Now())
	}
	return intervals(times), nil
}

// batch takes the tokens of a batch that has one request.
func (l *served) batch(ctx context.Context, n int) (seconds []float64, err error) {
	_, tokens, err := l.prompt()
	if err != nil {
		return nil, err
	}
	b := l.engine.NewBatch(ebb.BatchOptions{})
	defer func() { err = errors.Join(err, b.Close()) }()
	g, err := b.Add(ebb.Request{Prompt: tokens, Config: endlessText(n)})
	if err != nil {
		return nil, err
	}
	times := make([]time.Time, 0, n)
	for !g.Done() {
		if _, err := b.Step(ctx); err != nil {
			return nil, err
		}
		times = append(times, time.Now())
	}
	return intervals(times), g.Err()
}

// answer takes an answer of the service.
func (l *served) answer(ctx context.Context, n int) (seconds []float64, err error) {
	r := l.request
	r.Config = endlessText(n)
	a, err := l.Answer(ctx, r)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if _, err := a.Texts(ctx); err != nil {
		return nil, err
	}
	return l.steps.last(n), nil
}

// whole takes an answer that comes through HTTP at once.
func (l *served) whole(ctx context.Context, n int) ([]float64, error) {
	return l.ask(ctx, n, false, false)
}

// late takes an answer whose events wait in the socket.
func (l *served) late(ctx context.Context, n int) ([]float64, error) {
	return l.ask(ctx, n, true, true)
}

// events takes an answer event by event.
func (l *served) events(ctx context.Context, n int) ([]float64, error) {
	return l.ask(ctx, n, true, false)
}

// ask takes an answer through HTTP. With late the client reads nothing before the last step.
func (l *served) ask(ctx context.Context, n int, stream, late bool) (seconds []float64, err error) {
	var wait <-chan struct{}
	if late {
		wait = l.steps.ended
	}
	response, err := l.post(ctx, n, stream, wait)
	if err != nil {
		return nil, err
	}
	// A connection ends with its answer, so that this is all of it.
	if !strings.HasPrefix(response, "HTTP/1.1 200 ") || stream != strings.Contains(response, "data: [DONE]") {
		lines := slices.Collect(strings.Lines(response))
		return nil, fmt.Errorf("bench: http: %d lines, the first %q and the last %q", len(lines), lines[0], lines[len(lines)-1])
	}
	return l.steps.last(n), nil
}
