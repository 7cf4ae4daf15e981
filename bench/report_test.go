package bench

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func report() *Report {
	return &Report{
		Machine: Machine{
			CPU: "A Processor", Cores: 2, System: "linux/amd64", Go: "go1.26", Library: "0.25.1",
			Version: "v1", Commit: "abc", Load: "0.10 0.20 0.30",
		},
		Model: "m.gguf", Threads: 2, KVType: "f16", Pace: Pace{Rounds: 2, WarmUp: 1, Steps: 1, WarmUpSteps: 1},
		Rows: []Row{
			{Workload: "decode", Arm: "ebb static", Depth: 512, Rounds: 2, Summary: Summarize([]float64{0.004, 0.004}), Samples: []float64{0.004, 0.004}},
			{Workload: "decode", Arm: "peer", Depth: 512, Rounds: 2, Disturbed: 1, Others: 0.5, Summary: Summarize([]float64{0.002, 0.006}), Samples: []float64{0.002, 0.006}},
		},
		Scores: []Score{
			{Workload: "decode", Name: "ebb static / peer", Depth: 512, Value: 0.75, Target: 0.95, Of: "speeds at p25"},
			{Workload: "link", Name: "other", Depth: 1024, Value: 0.96, Target: 0.95, Of: "p25"},
			{Workload: "link", Name: "figure", Depth: 1024, Value: 0.5, Of: "p25"},
		},
		Notes: []string{"A note."},
	}
}

func TestTableShowsRowsScoresAndWhatDisturbedThem(t *testing.T) {
	var out bytes.Buffer
	if err := report().WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"A Processor, 2 cores, linux/amd64, go1.26, ggml 0.25.1, ebb abc, load 0.10 0.20 0.30",
		"m.gguf, 2 threads, f16 K/V, 1 steps a turn",
		"",
		"workload depth arm min ms p25 ms median ms tokens/s rounds",
		"decode 512 ebb static 4.000 4.000 4.000 250.0 2",
		"decode 512 peer 2.000 3.000 4.000 333.3 1 disturbed of 2",
		"",
		"workload depth score value target of",
		"decode 512 ebb static / peer 0.750 0.95 missed speeds at p25",
		"link 1024 other 0.960 0.95 reached p25",
		"link 1024 figure 0.500 – p25",
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
