package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Report is the result of a run.
type Report struct {
	Machine Machine  `json:"machine"`
	Model   string   `json:"model"`
	Threads int      `json:"threads"`
	KVType  string   `json:"kv_type"`
	Pace    Pace     `json:"pace"`
	Rows    []Row    `json:"rows"`
	Scores  []Score  `json:"scores"`
	Notes   []string `json:"notes"`
}

// Row is how long the decode steps of one arm took.
type Row struct {
	Workload string `json:"workload"`
	Arm      string `json:"arm"`
	Depth    int    `json:"depth"` // tokens in the cache when a turn began
	Summary
	Rounds    int       `json:"rounds"`
	Disturbed int       `json:"disturbed_rounds"` // among them, with other processes on the CPU
	Others    float64   `json:"others_cores"`     // most that other processes used in a round
	Samples   []float64 `json:"samples_seconds"`
}

// Score is a ratio of rows. Where it has a target it should be no less.
type Score struct {
	Workload string  `json:"workload"`
	Name     string  `json:"name"`
	Depth    int     `json:"depth"`
	Value    float64 `json:"value"`
	Target   float64 `json:"target,omitempty"` // 0: none
	Of       string  `json:"of"`               // which of a row's times were compared
}

// Reached reports whether the score is as good as it should be.
func (s Score) Reached() bool { return s.Value >= s.Target }

// WriteJSON writes the report with all samples.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, %s, %s, ggml %s, ebb %s, load %s\n",
		m.CPU, m.Cores, m.System, m.Go, m.Library, m.program(), m.Load)
	fmt.Fprintf(w, "%s, %d threads, %s K/V, %d steps a turn\n\n", r.Model, r.Threads, r.KVType, r.Pace.Steps)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workload\tdepth\tarm\tmin ms\tp25 ms\tmedian ms\ttokens/s\trounds\t")
	for _, row := range r.Rows {
		rounds := fmt.Sprint(row.Rounds)
		if row.Disturbed > 0 {
			rounds = fmt.Sprintf("%d disturbed of %d", row.Disturbed, row.Rounds)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%.3f\t%.3f\t%.3f\t%.1f\t%s\t\n", row.Workload, row.Depth, row.Arm,
			row.Min*1e3, row.P25*1e3, row.Median*1e3, 1/row.P25, rounds)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workload\tdepth\tscore\tvalue\ttarget\t\tof\t")
	for _, s := range r.Scores {
		target, verdict := "–", ""
		if s.Target > 0 {
			target, verdict = fmt.Sprintf("%.2f", s.Target), "reached"
			if !s.Reached() {
				verdict = "missed"
			}
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%.3f\t%s\t%s\t%s\t\n", s.Workload, s.Depth, s.Name, s.Value, target, verdict, s.Of)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "\n%s", note)
	}
	_, err := fmt.Fprintln(w)
	return err
}
