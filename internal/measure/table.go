package measure

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	m := r.Machine
	fmt.Fprintf(w, "%s, %d cores, %s, %s of memory, %s, %s, ggml %s, libllama %s, ebb %s, load %s\n",
		m.CPU, m.Cores, strings.Join(m.Features, " "), gigabytes(m.Memory), m.System, m.Go, m.Library, m.Llama, m.program(), m.Load)
	if r.Model.File != "" {
		fmt.Fprintf(w, "%s on %s: a step reads %s of weights; ", r.Model.File, m.Device, gigabytes(r.Model.StepBytes))
	}
	fmt.Fprintf(w, "%d rounds, %d steps a turn\n", r.Pace.Rounds, r.Pace.Steps)
	for _, part := range []func(io.Writer) error{r.writeRows, r.writeScores, r.writeFigures} {
		if err := part(w); err != nil {
			return err
		}
	}
	for _, note := range r.Notes {
		if _, err := fmt.Fprintf(w, "\n%s\n", note); err != nil {
			return err
		}
	}
	return nil
}

func gigabytes(n int64) string { return fmt.Sprintf("%.3g GB", float64(n)/1e9) }

func (r *Report) writeRows(w io.Writer) error {
	if len(r.Rows) == 0 {
		return nil
	}
	repeated := false
	t := newTable(w, "workload", "threads", "K/V", "depth", "tokens", "arm", "min ms", "p25 ms", "median ms", "tokens/s", "rounds")
	for _, row := range r.Rows {
		depth, rounds := fmt.Sprint(row.Depth), fmt.Sprint(row.Rounds)
		if row.Depth > r.Fill {
			depth, repeated = depth+"*", true
		}
		if row.Disturbed > 0 {
			rounds = fmt.Sprintf("%d disturbed of %d", row.Disturbed, row.Rounds)
		}
		t.row(row.Workload, fmt.Sprint(row.Threads), row.KVType, depth, fmt.Sprint(row.Tokens), row.Arm,
			milliseconds(row.Min), milliseconds(row.P25), milliseconds(row.Median), fmt.Sprintf("%.1f", row.Speed()), rounds)
	}
	if err := t.end(); err != nil || !repeated {
		return err
	}
	_, err := fmt.Fprintf(w, "* the K/V of the first %d tokens, repeated: only these tokens were computed\n", r.Fill)
	return err
}

func milliseconds(seconds float64) string { return fmt.Sprintf("%.3f", seconds*1e3) }

func (r *Report) writeScores(w io.Writer) error {
	if len(r.Scores) == 0 {
		return nil
	}
	t := newTable(w, "workload", "threads", "K/V", "depth", "tokens", "score", "value", "target", "")
	for _, s := range r.Scores {
		target, verdict := "–", ""
		if s.Target > 0 {
			target, verdict = fmt.Sprintf("%.2f", s.Target), "reached"
			if !s.Reached() {
				verdict = "missed"
			}
		}
		t.row(s.Workload, fmt.Sprint(s.Threads), s.KVType, fmt.Sprint(s.Depth), fmt.Sprint(s.Tokens), s.Name,
			fmt.Sprintf("%.3f", s.Value), target, verdict)
	}
	return t.end()
}

func (r *Report) writeFigures(w io.Writer) error {
	if len(r.Figures) == 0 {
		return nil
	}
	t := newTable(w, "workload", "figure", "value", "unit", "")
	for _, f := range r.Figures {
		disturbed := ""
		if f.Disturbed {
			disturbed = "disturbed"
		}
		t.row(f.Workload, f.Name, fmt.Sprintf("%.4g", f.Value), f.Unit, disturbed)
	}
	return t.end()
}

// table writes columns, after an empty line.
type table struct {
	w *tabwriter.Writer
}

func newTable(w io.Writer, columns ...string) table {
	fmt.Fprintln(w)
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)}
	t.row(columns...)
	return t
}

func (t table) row(cells ...string) { fmt.Fprintln(t.w, strings.Join(cells, "\t")+"\t") }

func (t table) end() error { return t.w.Flush() }
