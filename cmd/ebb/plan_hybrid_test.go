package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/plan"
)

// qwen27B returns the header of Qwen3.8-27B in IQ4_XS, of which the file has only that.
func qwen27B(t *testing.T) *gguf.File {
	t.Helper()
	data, err := os.ReadFile("../../testdata/headers/qwen3.8-27b-iq4_xs.gguf")
	if err != nil {
		t.Fatal(err)
	}
	file, err := gguf.ParseHeader(data, 14904880224)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// linked returns the name of a machine like rtx4080, whose link has another rate.
func linked(t *testing.T, name string, change func(*plan.Machine)) string {
	t.Helper()
	m, err := namedMachine("rtx4080")
	if err != nil {
		t.Fatal(err)
	}
	change(&m)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name+".json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hybridPlan plans for Qwen3.8-27B.
func hybridPlan(t *testing.T, context int, kvType, machine string, beams int) (planned, error) {
	t.Helper()
	f := planFlags{model: "Qwen3.8-27B-IQ4_XS.gguf", kvType: kvType, sequences: 1, beams: beams, machine: machine, context: context}
	return f.plan(t.Context(), qwen27B(t))
}

// A state has a matrix of 128 × 128 values in each of 48 heads, and 3 inputs of a convolution with 10240
// channels: 3 MiB and 120 KiB in each of 48 layers.
func TestInspectSaysWhatRecurrentLayersKeep(t *testing.T) {
	s := summarize(qwen27B(t))
	const state = (128*128*48 + 3*10240) * 4
	if s.State != 48*state {
		t.Errorf("a state of %d bytes; want %d", s.State, 48*state)
	}
	if f16 := s.KVBytes[1]; f16.PerToken != 16*4096 || f16.Fixed != 0 {
		t.Errorf("%+v; want %d bytes a token", f16, 16*4096)
	}
	var text bytes.Buffer
	printSummary(&text, s)
	for _, line := range []string{
		"               48 recurrent layers that carry a state of 3.1 MiB, of each sequence\n",
		"               16 layers with the whole context: 4 KV heads, key dim 256, value dim 256\n",
		"               f16      64.0 KiB a token,   16.0 GiB for the whole context\n",
		"state          149.6 MiB a sequence, however long it is; a step reads one and writes another\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("inspect lacks %q in\n%s", line, text.String())
		}
	}
	var parsed struct {
		State int64       `json:"state_bytes"`
		Kinds []layerKind `json:"kinds"`
	}
	data, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(data, &parsed)
	}
	if err != nil || parsed.State != 48*state || len(parsed.Kinds) != 2 || parsed.Kinds[0] != (layerKind{Kind: "recurrent", Layers: 48, State: state}) {
		t.Errorf("JSON: %+v, %v", parsed, err)
	}
}

// docs/planning.md shows what is planned for Qwen3.8-27B on a card of 16 GB, whose figures are these.
func TestPlanningDocShowsAHybridOnACardOf16GB(t *testing.T) {
	doc, err := os.ReadFile("../../docs/planning.md")
	if err != nil {
		t.Fatal(err)
	}
	shows := func(what, text string) {
		t.Helper()
		if !strings.Contains(string(doc), text) {
			t.Errorf("docs/planning.md does not show %s:\n%s", what, text)
		}
	}
	fast := linked(t, "fast", func(m *plan.Machine) { m.LinkRate = 55e9 })
	for i, test := range []struct {
		context int
		kvType  string
		short   bool
	}{{131072, "f16", false}, {131072, "q8_0", false}, {200960, "f16", false}, {262144, "f16", true}, {262144, "q8_0", false}} {
		p, err := hybridPlan(t, test.context, test.kvType, "rtx4080", 1)
		if test.short {
			if err == nil {
				t.Errorf("%d tokens in %s fit; want an error", test.context, test.kvType)
				continue
			}
			shows("the error", "    "+err.Error()+"\n")
			shows("that it does not fit", fmt.Sprintf("| %d | %s | does not fit |  |  |\n", test.context, test.kvType))
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		quick, err := hybridPlan(t, test.context, test.kvType, fast, 1)
		if err != nil {
			t.Fatal(err)
		}
		at := p.forecast.Placement
		stay := fmt.Sprintf("%d of 16", 16-at.Streamed)
		if at.StatesOff > 0 {
			stay += ", and states visit"
		}
		shows("a row", fmt.Sprintf("| %d | %s | %s | %.1f | %.1f |\n", test.context, test.kvType, stay, p.forecast.Full.Expected.PerSecond, quick.forecast.Full.Expected.PerSecond))
		if all := at.StatesBytes() + p.forecast.HostStates; at.StatesOff == 0 && all != 2*48*((128*128*48+3*10240)*4) {
			t.Errorf("states take %d bytes", all)
		}
		if e := p.forecast.Full; e.Expected.Seconds < e.Seconds {
			t.Errorf("%d tokens in %s: a step is expected to take %g s, and takes %g at least", test.context, test.kvType, e.Expected.Seconds, e.Seconds)
		}
		if i > 0 {
			continue
		}
		var text bytes.Buffer
		if err := p.print(&text); err != nil {
			t.Fatal(err)
		}
		var block strings.Builder
		for line := range strings.Lines(text.String()) {
			if line != "\n" {
				block.WriteString("    ")
			}
			block.WriteString(line)
		}
		shows("the plan", block.String())
	}
}

// Beams share the K/V of a prompt, and each has states of its own.
func TestPlanCountsTheStatesOfBeams(t *testing.T) {
	one, err := hybridPlan(t, 16384, "f16", "h100", 1)
	if err != nil {
		t.Fatal(err)
	}
	four, err := hybridPlan(t, 16384, "f16", "h100", 4)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := four.forecast.Placement.StatesBytes(), 4*one.forecast.Placement.StatesBytes(); got != want {
		t.Errorf("the states of 4 beams take %d bytes; want %d", got, want)
	}
	if got, want := four.forecast.Placement.DeviceBytes-one.forecast.Placement.DeviceBytes, 3*one.forecast.Placement.StatesBytes(); got != want {
		t.Errorf("4 beams take %d bytes more than one; want %d", got, want)
	}
	var text bytes.Buffer
	if err := four.printJSON(&text); err != nil {
		t.Fatal(err)
	}
	var out planOutput
	if err := json.Unmarshal(text.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	if out.Model.RecurrentLayers != 48 || out.Model.StateBytes != one.forecast.Placement.StateBytes || out.Device.StatesBytes != four.forecast.Placement.StatesBytes() {
		t.Errorf("JSON: %+v, %d bytes of states", out.Model, out.Device.StatesBytes)
	}
}

// A card on which not even the weights fit is told what would.
func TestPlanSaysWhatWeightsNeedThatDoNotFit(t *testing.T) {
	small := linked(t, "small", func(m *plan.Machine) { m.DeviceMemory = 12 << 30 })
	_, err := hybridPlan(t, 131072, "f16", small, 1)
	want := "12.0 GiB of device memory is too little for a context of 131072 tokens: weights take 13.7 GiB, a step 317.3 MiB, and K/V and states at least 1.0 GiB, 6.2 MiB of that for states; the least that works is --device-memory 15346MiB, or fewer layers there: ebb run --gpu-layers N"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// Of each hybrid family a header is enough to say which layers keep what.
func TestPlanAndInspectKnowEveryHybrid(t *testing.T) {
	for name, want := range map[string]string{
		"tiny-qwen3next":     "8 layers: 2 full, 6 recurrent",
		"tiny-lfm2":          "4 layers: 1 full, 3 recurrent",
		"tiny-lfm2moe":       "4 layers: 1 full, 3 recurrent",
		"tiny-granitehybrid": "5 layers: 1 full, 4 recurrent",
		"tiny-nemotron":      "5 layers: 1 full, 2 recurrent, 2 without attention or a state",
		"tiny-nemotron-moe":  "4 layers: 1 full, 1 recurrent, 2 without attention or a state",
	} {
		file, err := gguf.Parse(testmodel.Golden(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if s := summarize(file); s.State == 0 || s.fault != nil {
			t.Errorf("%s: a state of %d bytes, %v", name, s.State, s.fault)
		}
		f := planFlags{model: "m.gguf", kvType: "f16", sequences: 1, beams: 1, machine: "rtx4080", context: 4096}
		p, err := f.plan(t.Context(), file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := describeKinds(p.request.Kinds()); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s; want %s", name, got, want)
		}
	}
}
