package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/seed4d217819/ebb/bench/families"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
)

// The shares of the fastest peer's speed that a family should reach: where a step reads little but
// weights, with which both compute alike, and from deepFamily tokens on, where attention counts.
const (
	targetFamily     = 0.95
	targetFamilyDeep = 1
	deepFamily       = 2000
	targetWhole      = 1.05 // of whole models
)

// Those that a hybrid should reach, in which a fourth of the layers attends.
const (
	targetHybrid     = 0.98
	targetHybridDeep = 1.2
	deepHybrid       = 8000
	hybridPrompt     = 512 // tokens of the prompts that are measured too
)

// familyDepths are the tokens in the cache if the options name none.
func familyDepths(f families.Family) []int {
	if f.Hybrid() {
		return []int{0, deepHybrid}
	}
	return []int{0, 2048}
}

// families measures steps of one token of a model of each family.
func (o *Options) families(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	some, err := families.Find(o.Families...)
	if err != nil {
		return res, err
	}
	with.Policies = []kv.Policy{kv.Static}
	for _, f := range some {
		with.Depths = o.Depths
		if with.Depths == nil {
			with.Depths = familyDepths(f)
		}
		if err := o.withFamily(with, f, func(with measure.Options, m measure.Model) error {
			return o.family(ctx, with, m, f, &res)
		}); err != nil {
			return res, err
		}
	}
	return res, nil
}

// withFamily writes a model of a family, has it measured, and removes it.
func (o *Options) withFamily(with measure.Options, f families.Family, run func(measure.Options, measure.Model) error) (err error) {
	if o.smallFamilies {
		f = f.Small()
	}
	with.Progress(fmt.Sprintf("%s: writing %s", f.Name, f.About()))
	folder, err := os.MkdirTemp(with.Disk, "ebb-bench-*")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if with.Model, err = f.Write(folder); err != nil {
		return err
	}
	m, err := measure.ReadModel(with.Model)
	if err != nil {
		return err
	}
	return run(with, m)
}

// family measures steps of a family, and prompts of a hybrid.
func (o *Options) family(ctx context.Context, with measure.Options, m measure.Model, f families.Family, res *measure.Result) (err error) {
	how := ""
	if f.Window > 0 { // their K/V cannot be repeated
		with.Fill = slices.Max(append(with.Depths, 0)) + with.Pace.Tokens()
		how = ", all tokens computed"
	}
	res.Note(fmt.Sprintf("%s: %s; random weights, %.3g GB, of which a step reads %.3g GB; %d tokens in the vocabulary%s.",
		f.Name, f.About(), float64(m.Weights)/1e9, float64(m.StepBytes)/1e9, families.Vocab, how))
	of := o.withModel(with)
	of.Prepare()
	measured, err := measure.Decode(ctx, of.Options, m, f.Name, func(depth int) measure.Targets { return familyTargets(f, depth) })
	res.Add(measured)
	if err != nil || !f.Hybrid() {
		return err
	}
	of.Prompts, of.PromptDepths = []int{min(hybridPrompt, m.Context)}, []int{0}
	measured, err = measure.Prefill(ctx, of.Options, f.Name+"-prompt")
	res.Add(measured)
	return err
}

func familyTargets(f families.Family, depth int) measure.Targets {
	switch {
	case f.Whole && depth < deepFamily:
		return measure.Targets{Fastest: targetWhole}
	case f.Hybrid() && depth >= deepHybrid:
		return measure.Targets{Fastest: targetHybridDeep}
	case f.Hybrid():
		return measure.Targets{Fastest: targetHybrid}
	case depth >= deepFamily:
		return measure.Targets{Fastest: targetFamilyDeep}
	}
	return measure.Targets{Fastest: targetFamily}
}
