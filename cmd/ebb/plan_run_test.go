package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/gguf"
	"github.com/seed4d217819/ebb/internal/exec"
	"github.com/seed4d217819/ebb/internal/rehearsal"
	"github.com/seed4d217819/ebb/internal/testmodel"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

// An engine that is opened with the command that a plan ends with has the plan's layers and slots, and
// at the end of the context its bytes in each place.
func TestTheCommandOfAPlanDoesWhatWasPlanned(t *testing.T) {
	const mib = 1 << 20
	smol := testmodel.WriteFile(t, testmodel.Options{
		Hidden: 576, Layers: 6, Heads: 9, KVHeads: 3, HeadDim: 64, FF: 1536, Vocab: 512, Context: 8192, Type: ggml.Q4_0, Seed: 1, Tied: true,
	})
	for _, test := range []struct {
		name  string
		model string
		flags planFlags
		kv    int64 // bytes for K/V beside weights and steps; 0: no bound is stated
	}{
		{"all fits", "../../testdata/models/tiny-gqa.gguf", planFlags{context: 2000}, 0},
		{"rows on disk", "../../testdata/models/tiny-gqa.gguf", planFlags{context: 20_000}, 17 * mib},
		{"rows in host memory and on disk", smol, planFlags{context: 8192, hostMemory: 7 * mib}, 26 * mib},
		{"windows", "../../testdata/models/tiny-gemma3.gguf", planFlags{context: 20_000}, 0},
		{"some rows behind windows", "../../testdata/models/tiny-gemma3.gguf", planFlags{context: 20_000, windowRows: 1000}, 0},
		{"shared K/V", "../../testdata/models/tiny-gemma4-e.gguf", planFlags{context: 20_000}, 0},
		{"rows in q8_0", smol, planFlags{context: 8192, kvType: "q8_0"}, 14 * mib},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := test.flags
			f.model, f.sequences, f.beams, f.threads, f.hostStated = test.model, 1, 1, 1, f.hostMemory > 0
			if f.kvType == "" {
				f.kvType = "f16"
			}
			file, err := gguf.Open(f.model)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = file.Close() }()
			if test.kv > 0 {
				f.disk = diskPlace{dir: t.TempDir(), bytes: 256 * mib}
				f.deviceMemory = (footprint(t, file, f) + test.kv) / mib * mib
			}
			p, err := f.plan(t.Context(), file)
			if err != nil {
				t.Fatal(err)
			}
			compareWithEngine(t, p, openCommand(t, p.command()))
		})
	}
}

// footprint returns what a model takes besides K/V.
func footprint(t *testing.T, file *gguf.File, f planFlags) int64 {
	t.Helper()
	r, _, err := planRequest(file, f.kvType)
	if err != nil {
		t.Fatal(err)
	}
	h, err := rehearsal.Open(t.Context(), file, r, rehearsal.Options{Depth: 1, Threads: f.threads, KVType: f.kvType})
	if err != nil {
		t.Fatal(err)
	}
	taken, err := h.Footprint(f.context)
	if err := errors.Join(err, h.Close()); err != nil {
		t.Fatal(err)
	}
	return taken.Total()
}

// openCommand opens an engine as ebb run does with the words of a command.
func openCommand(t *testing.T, command string) *ebb.Engine {
	t.Helper()
	words := strings.Fields(command)
	if !slices.Equal(words[:2], []string{"ebb", "run"}) {
		t.Fatalf("%s: want a command that runs ebb", command)
	}
	var f engineFlags
	cmd := &cobra.Command{}
	f.register(cmd)
	if err := cmd.ParseFlags(words[2:]); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	if err := f.check(cmd); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	if err := f.configure(cmd, &ebb.GenerationConfig{}); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	e, err := ebb.Open(f.model, f.options)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// compareWithEngine compares a plan with an engine that holds a whole context.
func compareWithEngine(t *testing.T, p planned, e *ebb.Engine) {
	t.Helper()
	f, runner := p.forecast, exec.OfEngine(e)
	if got := e.Context(); got != f.Context {
		t.Errorf("a context of %d tokens, %d planned", got, f.Context)
	}
	footprint, err := runner.Footprint(f.Context)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(footprint, f.Footprint); diff != "" {
		t.Errorf("footprint (-engine +plan):\n%s", diff)
	}

	seq := e.NewSeq()
	defer func() { _ = seq.Close() }()
	if _, err := e.Forward(t.Context(), []kv.Work{{Seq: seq, Tokens: make([]int32, 16)}}); err != nil {
		t.Fatal(err)
	}
	for n := seq.Len(); n < f.Context; n = seq.Len() {
		if err := runner.Repeat(t.Context(), seq, min(n, f.Context-n)); err != nil {
			t.Fatal(err)
		}
	}
	s := e.Stats().Cache
	aligned := int64(0) // slots that files are read into begin at whole pages
	if f.Disk > 0 {
		aligned = int64(f.Placement.Slots) * 4096
	}
	if s.DeviceBytes < f.Placement.DeviceBytes || s.DeviceBytes > f.Placement.DeviceBytes+aligned {
		t.Errorf("%d bytes of K/V on the device, %d planned, %d more for aligned slots", s.DeviceBytes, f.Placement.DeviceBytes, aligned)
	}
	// Files grow in runs of a MiB or more, whose blocks are whole sectors; their open blocks are in host
	// memory.
	layers := int64(f.Placement.Streamed)
	block := plan.Block * p.request.Layers[0].RowBytes
	if most := f.Disk + layers*(2<<20+block); s.DiskBytes < f.Disk || s.DiskBytes > most {
		t.Errorf("%d bytes on the disk, %d planned: want at most %d", s.DiskBytes, f.Disk, most)
	}
	most := f.Host
	if f.HostPast > 0 && f.Disk == 0 {
		most *= 2 // where there is room, host memory that grows is taken in pieces that double
	}
	if f.Disk > 0 {
		most += (2*layers + 9 + 4) * block
	}
	if s.HostBytes < f.Host || s.HostBytes > most {
		t.Errorf("%d bytes in host memory, %d planned: want at most %d", s.HostBytes, f.Host, most)
	}
}
