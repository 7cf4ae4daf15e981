package measure

import (
	"encoding/json"
	"io"
	"slices"
)

// Report is the result of a run.
type Report struct {
	Machine Machine `json:"machine"`
	Model   Model   `json:"model"`
	Pace    Pace    `json:"pace"`
	Fill    int     `json:"fill"` // K/V beyond this depth repeat those before
	Result
}

// Result has the measurements of one workload or of several.
type Result struct {
	Rows      []Row      `json:"rows"`
	Scores    []Score    `json:"scores"`
	Figures   []Figure   `json:"figures"`
	Curves    []Curve    `json:"curves"`
	Timelines []Timeline `json:"timelines"`
	Notes     []string   `json:"notes"`
}

// Row says how long the steps of one arm took.
type Row struct {
	Workload string `json:"workload"`
	Arm      string `json:"arm"`
	Threads  int    `json:"threads"`
	KVType   string `json:"kv_type"`
	Depth    int    `json:"depth"`  // tokens in the cache when a turn began
	Tokens   int    `json:"tokens"` // of a step
	Summary
	Rounds    int       `json:"rounds"`
	Disturbed int       `json:"disturbed_rounds"` // those of them in which other processes used the CPU
	Others    float64   `json:"others_cores"`     // most cores that other processes used in a round
	Samples   []float64 `json:"samples_seconds"`  // one for each step
}

// Speed returns tokens a second at the 25th percentile of the steps.
func (r Row) Speed() float64 { return float64(r.Tokens) / r.P25 }

// Score is a ratio of rows, at the 25th percentile of their steps. If it has a target, it should be
// at least that.
type Score struct {
	Workload string  `json:"workload"`
	Name     string  `json:"name"`
	Threads  int     `json:"threads"`
	KVType   string  `json:"kv_type"`
	Depth    int     `json:"depth"`
	Tokens   int     `json:"tokens"`
	Value    float64 `json:"value"`
	Target   float64 `json:"target,omitempty"` // 0: none
}

// Reached reports whether the score reaches its target.
func (s Score) Reached() bool { return s.Value >= s.Target }

// Figure is a number with its unit.
type Figure struct {
	Workload  string  `json:"workload"`
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Disturbed bool    `json:"disturbed,omitempty"` // other processes used the CPU
}

// Add appends what another workload measured.
func (r *Result) Add(more Result) {
	r.Rows = append(r.Rows, more.Rows...)
	r.Scores = append(r.Scores, more.Scores...)
	r.Figures = append(r.Figures, more.Figures...)
	r.Curves = append(r.Curves, more.Curves...)
	r.Timelines = append(r.Timelines, more.Timelines...)
	r.Note(more.Notes...)
}

// Note adds notes for the reader, each once.
func (r *Result) Note(notes ...string) {
	for _, n := range notes {
		if !slices.Contains(r.Notes, n) {
			r.Notes = append(r.Notes, n)
		}
	}
}

// Timeline is what happened in one step.
type Timeline struct {
	Name  string         `json:"name"` // of the file that it is drawn in, without the ending
	Title string         `json:"title"`
	Spans []TimelineSpan `json:"spans"`
}

// TimelineSpan is a span in seconds since its step began. Fetches that an earlier step began start
// before 0.
type TimelineSpan struct {
	Track string  `json:"track"`
	Name  string  `json:"name"`
	Layer int     `json:"layer"` // -1: none
	Start float64 `json:"start_seconds"`
	End   float64 `json:"end_seconds"`
}

// WriteJSON writes the report with all samples.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
