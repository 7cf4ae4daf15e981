package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/ggml/llama"
)

// report is the result of a run.
type report struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	System  string `json:"system"`
	Llama   string `json:"libllama"` // version of llama.cpp
	Version string `json:"version"`  // of ebb
	Model   string `json:"model"`
	Context int    `json:"context"`
	Threads int    `json:"threads"`
	Cache   string `json:"cache"` // ebb's policy
	sizes
	Memory []inMemory `json:"memory"`
}

// inMemory is what was measured in a cgroup of some size.
type inMemory struct {
	Bytes  int64    `json:"bytes"`
	Arms   []result `json:"arms"`
	Ratios []ratio  `json:"ratios"`
}

// result is what was measured of an arm.
type result struct {
	arm   arm
	Arm   string     `json:"arm"`
	Turns []measured `json:"turns"`
}

// ratio is how many times as fast as llama.cpp ebb was, in the rounds in which both came to an end.
type ratio struct {
	Name   string  `json:"name"`
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
	Target float64 `json:"target,omitempty"` // 0: none
	Aim    float64 `json:"aim,omitempty"`
}

func newReport(o options, s sizes, list []arm) *report {
	m := doctor.ReadMachine(os.DirFS("/"))
	r := &report{
		CPU: m.CPU, Cores: m.Cores, System: runtime.GOOS + "/" + runtime.GOARCH, Llama: "unknown", Version: version,
		Model: filepath.Base(o.Model), Context: o.Context, Threads: o.Threads, Cache: o.Cache, sizes: s,
	}
	if version, err := llama.Version(); err == nil {
		r.Llama = version
	}
	for _, n := range o.Memory {
		s := inMemory{Bytes: int64(n) << 20}
		for _, a := range list {
			s.Arms = append(s.Arms, result{arm: a, Arm: a.label})
		}
		r.Memory = append(r.Memory, s)
	}
	return r
}

// compare computes the ratios. They have a target where the weights and K/V in q8_0 do not fit.
func (r *report) compare() {
	for i := range r.Memory {
		m := &r.Memory[i]
		for _, a := range m.Arms {
			for _, b := range m.Arms {
				if a.arm.program == programEbb && b.arm.program == programLlama && (a.arm.kvType == "f16" || b.arm.kvType != "f16") {
					m.add(a, b, m.Bytes < r.Weights+r.KV["q8_0"])
				}
			}
		}
	}
}

// add adds the ratio of two arms.
func (m *inMemory) add(a, b result, tight bool) {
	var times []float64
	for i := range min(len(a.Turns), len(b.Turns)) {
		if x, y := a.Turns[i].speed(), b.Turns[i].speed(); x > 0 && y > 0 {
			times = append(times, x/y)
		}
	}
	if len(times) == 0 {
		return
	}
	r := ratio{Name: a.Arm + " / " + b.Arm, Median: median(times), Least: slices.Min(times), Most: slices.Max(times)}
	if tight && b.arm.kvType == "f16" {
		if r.Target, r.Aim = 5, 10; b.arm.cluster > 0 {
			r.Target, r.Aim = 3, 6
		}
	}
	m.Ratios = append(m.Ratios, r)
}

// speeds returns the tokens a second of each turn.
func (r result) speeds() (speeds []float64) {
	for _, t := range r.Turns {
		speeds = append(speeds, t.speed())
	}
	return speeds
}

// median returns the middle of some values; 0: there are none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func mebibytes(bytes int64) string {
	if bytes < 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20))
}

// write prints the report for people.
func (r *report) write(w io.Writer) error {
	fmt.Fprintf(w, "\n%s, %d cores, %s; llama.cpp %s, ebb %s with --cache %s, %d threads each\n", r.CPU, r.Cores, r.System, r.Llama, r.Version, r.Cache, r.Threads)
	fmt.Fprintf(w, "%s: weights %s", r.Model, mebibytes(r.Weights))
	for _, typ := range slices.Sorted(maps.Keys(r.KV)) {
		fmt.Fprintf(w, ", K/V of %d tokens in %s %s", r.Context, typ, mebibytes(r.KV[typ]))
	}
	fmt.Fprintln(w)
	for _, m := range r.Memory {
		if err := m.write(w); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, `
Memory is all that the cgroup counts: weights, K/V, the program, and the page cache, which takes what is
left. Its own is what is not a file's page. Tuned swap has vm.page-cluster 6. The first %d tokens of the
context were computed, and their K/V repeated. Ratios are medians over the rounds, with the least and the
most.
`, computed)
	return err
}

func (m inMemory) write(w io.Writer) error {
	fmt.Fprintf(w, "\nIn %s of memory\n", mebibytes(m.Bytes))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  arm\ttokens/s\tin each round\tpeak\tits own\tswap\tto fill\tK/V")
	for _, a := range m.Arms {
		fmt.Fprintln(t, a.row())
	}
	if err := t.Flush(); err != nil || len(m.Ratios) == 0 {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  times as fast\tmedian\tof rounds\ttarget")
	for _, r := range m.Ratios {
		fmt.Fprintf(t, "  %s\t%.2f\t%.2f to %.2f\t%s\n", r.Name, r.Median, r.Least, r.Most, r.verdict())
	}
	return t.Flush()
}

// verdict says whether the target is reached.
func (r ratio) verdict() string {
	switch {
	case r.Target == 0:
		return "none"
	case r.Median >= r.Aim:
		return fmt.Sprintf("%.0f: reached, and the aim of %.0f too", r.Target, r.Aim)
	case r.Median >= r.Target:
		return fmt.Sprintf("%.0f: reached; the aim is %.0f", r.Target, r.Aim)
	}
	return fmt.Sprintf("%.0f: missed; the aim is %.0f", r.Target, r.Aim)
}

// row returns the arm's line of the table.
func (r result) row() string {
	var each, failed []string
	var peak, own, swap int64
	var fill []float64
	places := ""
	for _, t := range r.Turns {
		if t.Failed != "" {
			failed = append(failed, t.Failed)
			continue
		}
		each = append(each, fmt.Sprintf("%.3g", t.speed()))
		peak, own, swap, places = max(peak, t.Peak), max(own, t.Own), max(swap, t.Swap), t.Places
		fill = append(fill, t.Fill)
	}
	if len(failed) > 0 {
		return fmt.Sprintf("  %s\t–\t%s\t%d of %d turns failed: %s", r.Arm, strings.Join(each, " "), len(failed), len(r.Turns), strings.ReplaceAll(failed[0], "\n", "; "))
	}
	return fmt.Sprintf("  %s\t%.3g\t%s\t%s\t%s\t%s\t%.0f s\t%s", r.Arm, median(r.speeds()), strings.Join(each, " "),
		mebibytes(peak), mebibytes(own), mebibytes(swap), median(fill), places)
}
