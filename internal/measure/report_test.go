package measure

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func report() *Report {
	row := func(r Row, samples ...float64) Row {
		r.Workload, r.Threads, r.KVType, r.Samples, r.Summary = "decode", 2, "f16", samples, Summarize(samples)
		return r
	}
	return &Report{
		Machine: Machine{
			CPU: "A Processor", Features: []string{"avx2", "fma"}, Cores: 2, Memory: 24e9, Device: "cpu", System: "linux/amd64", Go: "go1.26",
			Library: "0.25.1", Llama: "0.5.0", Version: "v1", Commit: "abc", Load: "0.10 0.20 0.30",
		},
		Model: Model{File: "m.gguf", Context: 8192, StepBytes: 5e8, Weights: 6e8},
		Pace:  Pace{Rounds: 2, WarmUp: 1, Steps: 1, WarmUpSteps: 1}, Fill: 512,
		Result: Result{
			Rows: []Row{
				row(Row{Arm: "ebb static", Depth: 512, Tokens: 1, Rounds: 2}, 0.004, 0.004),
				row(Row{Arm: "peer", Depth: 2048, Tokens: 3, Rounds: 2, Disturbed: 1, Others: 0.5}, 0.002, 0.006),
			},
			Scores: []Score{
				{Workload: "decode", Name: "ebb static / peer", Threads: 2, KVType: "f16", Depth: 512, Tokens: 1, Value: 0.75, Target: 0.95},
				{Workload: "link", Name: "other", Threads: 2, KVType: "f16", Depth: 1024, Tokens: 1, Value: 0.96, Target: 0.95},
				{Workload: "link", Name: "figure", Threads: 2, KVType: "f16", Depth: 1024, Tokens: 1, Value: 0.5},
			},
			Figures:   []Figure{{Workload: "roofline", Name: "memory read", Value: 12.3456, Unit: "GB/s", Disturbed: true}},
			Curves:    []Curve{{Name: "c", Title: "T", X: "x", Y: "y", Series: []Series{{Name: "s", Bound: true, Points: []XY{{1, 2}}}}}},
			Timelines: []Timeline{{Name: "t", Title: "T", Spans: []TimelineSpan{{"cpu fetch", "fetch", 3, -1, 2}}}},
			Notes:     []string{"A note."},
		},
	}
}

func TestTableShowsWhatWasMeasuredAndWhatDisturbedIt(t *testing.T) {
	var out bytes.Buffer
	if err := report().WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"A Processor, 2 cores, avx2 fma, 24 GB of memory, linux/amd64, go1.26, ggml 0.25.1, libllama 0.5.0, ebb abc, load 0.10 0.20 0.30",
		"m.gguf on cpu: a step reads 0.5 GB of weights; 2 rounds, 1 steps a turn",
		"",
		"workload threads K/V depth tokens arm min ms p25 ms median ms tokens/s rounds",
		"decode 2 f16 512 1 ebb static 4.000 4.000 4.000 250.0 2",
		"decode 2 f16 2048* 3 peer 2.000 3.000 4.000 1000.0 1 disturbed of 2",
		"* the K/V of the first 512 tokens, repeated: only these tokens were computed",
		"",
		"workload threads K/V depth tokens score value target",
		"decode 2 f16 512 1 ebb static / peer 0.750 0.95 missed",
		"link 2 f16 1024 1 other 0.960 0.95 reached",
		"link 2 f16 1024 1 figure 0.500 –",
		"",
		"workload figure value unit",
		"roofline memory read 12.35 GB/s disturbed",
		"",
		"A note.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestJSONHasAllThatWasMeasured(t *testing.T) {
	var out bytes.Buffer
	if err := report().WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report(), &got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	for _, name := range []string{`"min_seconds": 0.004`, `"p25_seconds"`, `"median_seconds"`, `"samples_seconds"`, `"disturbed_rounds": 1`, `"commit": "abc"`} {
		if !strings.Contains(out.String(), name) {
			t.Errorf("no %s in\n%s", name, &out)
		}
	}
}
