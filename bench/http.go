package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
)

const (
	// httpQuestion is what is answered.
	httpQuestion = "Why is the sky blue? Answer in many sentences."
	// httpRoom is how many tokens the question may have in a model's template.
	httpRoom = 512
	// targetHTTP is the share of the speed of a stream that an answer through HTTP should have.
	targetHTTP = 0.99
	// targetSteps is the share of its time that the service should spend in steps while an answer grows.
	targetSteps = 0.99
)

// http compares the tokens of one answer that goes through more and more of the server with those of a
// stream. All arms compute the same tokens with one engine.
func (o *Options) http(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	err = o.each(with, &res, func(with measure.Options, _ measure.Model, family string) error {
		if family != "" {
			res.Note("Without http: a family has no chat template. Name a model.")
			return nil
		}
		for _, s := range with.Settings() {
			if err := httpIn(ctx, with, s, &res); err != nil {
				return err
			}
		}
		return nil
	})
	return res, err
}

func httpIn(ctx context.Context, o measure.Options, s measure.Setting, res *measure.Result) (err error) {
	tokens := 1 + o.Pace.WarmUpSteps + o.Pace.Steps
	e, err := measure.OpenEbb("ebb auto", o, s, ebb.Options{Context: httpRoom + tokens})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	l, err := openServed(ctx, e.Engine)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.stop()) }()
	o.Progress(fmt.Sprintf("http: %d tokens of an answer, %v", tokens, s))
	stream := &answerArm{name: "a stream, as ebb run", served: l, take: l.stream}
	arms := []*answerArm{
		stream,
		{name: "a batch of one", served: l, take: l.batch},
		{name: "the service", served: l, take: l.answer},
		{name: "HTTP, the whole answer", served: l, take: l.whole},
		{name: "HTTP, events that are read at the end", served: l, take: l.late},
		{name: "HTTP, events that are read as they come", served: l, take: l.events},
	}
	var all []measure.Arm
	for _, a := range arms {
		all = append(all, a)
	}
	at := measure.Point{Workload: "http", Setting: s, Tokens: 1}
	rows, err := measure.Measure(ctx, all, at, o.Pace)
	if err != nil {
		return err
	}
	res.Rows = append(res.Rows, rows...)
	for i, row := range rows[1:] {
		target := 0.0
		if arms[i+1].throughHTTP() {
			target = targetHTTP
		}
		res.Scores = append(res.Scores, measure.SpeedScore(row, rows[0], target))
	}
	for _, a := range arms[2:] {
		res.Scores = append(res.Scores, measure.Score{
			Workload: at.Workload, Threads: s.Threads, KVType: s.KVType, Tokens: 1,
			Name: "steps / time from step to step, " + a.name, Value: a.share(), Target: targetSteps,
		})
	}
	return nil
}
