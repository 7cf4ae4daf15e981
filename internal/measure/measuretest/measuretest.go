// Package measuretest has what the tests of several packages need that measure: options that take
// little time, and views of a report.
package measuretest

import (
	"testing"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
)

// Small returns options that measure a tiny model in little time, and files in a folder of the test.
// It skips the test if there are no libraries. root is the folder of the ebb module.
func Small(tb testing.TB, root string, workloads ...string) measure.Options {
	tb.Helper()
	if _, err := ggml.Load(); err != nil {
		tb.Skipf("no ggml libraries: run make libs: %v", err)
	}
	return measure.Options{
		Model:     root + "/testdata/models/tiny-gqa.gguf",
		Workloads: workloads, Threads: []int{1}, Policies: []kv.Policy{kv.Static, kv.Offloaded},
		Depths: []int{0, 40}, Fill: 16, Prompts: []int{8}, PromptDepths: []int{20}, LinkDepth: 30, Ratios: []float64{1, 3},
		Disk: tb.TempDir(), DiskDepth: 300,
		Pace: measure.Pace{Rounds: 1, WarmUp: 1, Steps: 2, WarmUpSteps: 1},
	}
}

// Arms returns the arms that a report has rows of at a point.
func Arms(r *measure.Report, workload string, depth, tokens int) (names []string) {
	for _, row := range r.Rows {
		if row.Workload == workload && row.Depth == depth && row.Tokens == tokens {
			names = append(names, row.Arm)
		}
	}
	return names
}

// Targets returns the target of each score by its name.
func Targets(r *measure.Report) map[string]float64 {
	targets := map[string]float64{}
	for _, s := range r.Scores {
		targets[s.Name] = s.Target
	}
	return targets
}

// Figures returns the figures of a report by name and unit, and checks that all are numbers of one
// workload.
func Figures(tb testing.TB, r *measure.Report, workload string) map[string]measure.Figure {
	tb.Helper()
	all := map[string]measure.Figure{}
	for _, f := range r.Figures {
		if !(f.Value >= 0) || f.Workload != workload {
			tb.Errorf("%+v: want a number of %s", f, workload)
		}
		all[f.Name+", "+f.Unit] = f
	}
	return all
}
