package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/ggml"
	"github.com/seed4d217819/ebb/internal/testmodel"
)

// system makes a root folder with files.
func system(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

func TestGroupsOfVersion1HaveALimitWithAndWithoutSwap(t *testing.T) {
	root := system(t, map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "9"})
	l, err := findLimits(root)
	if err != nil || l.v2 {
		t.Fatalf("%+v, %v; want version 1", l, err)
	}
	for _, swap := range []bool{false, true} {
		g, err := l.group("a", 300<<20, swap)
		if err != nil {
			t.Fatal(err)
		}
		if got := content(t, filepath.Join(g.dir, "memory.limit_in_bytes")); got != "314572800" {
			t.Errorf("limit %s", got)
		}
		_, err = os.Stat(filepath.Join(g.dir, "memory.memsw.limit_in_bytes"))
		if bounded := err == nil; bounded == swap {
			t.Errorf("swap %t, and memory and swap together are bounded: %t", swap, bounded)
		}
		for name, text := range map[string]string{
			"memory.max_usage_in_bytes": "1000\n", "memory.stat": "cache 5\nrss 700\nswap 33\n", "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
		} {
			if err := g.write(name, text); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := g.memory(), (memory{Peak: 1000, Own: 700, Swap: 33, Killed: 2}); got != want {
			t.Errorf("%+v; want %+v", got, want)
		}
		if err := os.RemoveAll(g.dir); err != nil { // the kernel's files go with the folder
			t.Fatal(err)
		}
	}
}

func TestGroupsOfVersion2(t *testing.T) {
	root := system(t, map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpu memory pids\n"})
	l, err := findLimits(root)
	if err != nil || !l.v2 {
		t.Fatalf("%+v, %v; want version 2", l, err)
	}
	if _, err := l.group("a", 300<<20, true); err == nil || !strings.Contains(err.Error(), "write +memory to") {
		t.Errorf("a group without the controller: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(l.dir, groupPrefix+"*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	dir := system(t, map[string]string{"memory.peak": "1000\n", "memory.stat": "anon 700\nfile 5\n", "memory.swap.current": "33\n", "memory.events": "oom 1\noom_kill 2\n"})
	if got, want := (&group{dir, true}).memory(), (memory{Peak: 1000, Own: 700, Swap: 33, Killed: 2}); got != want {
		t.Errorf("%+v; want %+v", got, want)
	}
	if got, want := (&group{t.TempDir(), true}).memory(), (memory{-1, -1, -1, -1}); got != want {
		t.Errorf("an older kernel: %+v; want %+v", got, want)
	}
}

func TestWithoutAControllerNothingIsMeasured(t *testing.T) {
	for _, files := range []map[string]string{nil, {"sys/fs/cgroup/cgroup.controllers": "cpu pids\n"}} {
		if _, err := findLimits(system(t, files)); err == nil || !strings.Contains(err.Error(), "memory controller") {
			t.Errorf("%v: %v", files, err)
		}
	}
}

func TestCleanLeavesTheMachineAsItWas(t *testing.T) {
	root := system(t, map[string]string{clusterFile: "6", "proc/swaps": "Filename\n"})
	dir := system(t, map[string]string{swapName: "swap", modelName: "model", clusterName: "3", "other": "mine"})
	for range 2 {
		if err := clean(root, dir); err != nil {
			t.Fatal(err)
		}
	}
	if got := content(t, filepath.Join(root, clusterFile)); got != "3" {
		t.Errorf("page-cluster is %s; want 3", got)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !slices.Equal(left, []string{filepath.Join(dir, "other")}) {
		t.Errorf("left: %v", left)
	}
}

func TestRatiosAreThoseOfTheRoundsThatCameToAnEnd(t *testing.T) {
	speed := func(each ...float64) (turns []measured) {
		for _, s := range each {
			m := measured{memory: memory{Peak: 300 << 20, Own: 200 << 20}}
			if m.Steps, m.Places = []float64{1 / s, 1 / s}, "here"; s == 0 {
				m = measured{Failed: "the kernel ended it: out of memory"}
			}
			turns = append(turns, m)
		}
		return turns
	}
	all := arms()
	r := report{
		Model: "m.gguf", Context: 1000, sizes: sizes{Weights: 100 << 20, KV: map[string]int64{"f16": 400 << 20, "q8_0": 210 << 20}},
		Memory: []inMemory{{Bytes: 300 << 20}, {Bytes: 400 << 20}},
	}
	for i := range r.Memory {
		r.Memory[i].Arms = []result{
			{all[0], all[0].label, speed(2, 4, 3)},
			{all[1], all[1].label, speed(0.5, 0.25, 0.3)},
			{all[2], all[2].label, speed(1, 0, 2)},
			{all[3], all[3].label, speed(8, 8, 8)},
			{all[4], all[4].label, speed(1, 1, 2)},
		}
	}
	r.compare()
	want := []ratio{
		{"ebb f16 / llama.cpp f16 + swap", 10, 4, 16, 5, 10},
		{"ebb f16 / llama.cpp f16 + tuned swap", 1.75, 1.5, 2, 3, 6},
		{"ebb f16 / llama.cpp q8_0 + swap", 2, 1.5, 4, 0, 0},
		{"ebb q8_0 / llama.cpp q8_0 + swap", 8, 4, 8, 0, 0},
	}
	if diff := cmp.Diff(r.Memory[0].Ratios, want); diff != "" {
		t.Errorf("ratios (-got +want):\n%s", diff)
	}
	for i := range want {
		want[i].Target, want[i].Aim = 0, 0 // K/V in q8_0 fit
	}
	if diff := cmp.Diff(r.Memory[1].Ratios, want); diff != "" {
		t.Errorf("ratios (-got +want):\n%s", diff)
	}
	var text bytes.Buffer
	if err := r.write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"m.gguf: weights 100 MiB, K/V of 1000 tokens in f16 400 MiB, K/V of 1000 tokens in q8_0 210 MiB", "In 300 MiB of memory", "In 400 MiB",
		"2 4 3", "10.00   4.00 to 16.00  5: reached, and the aim of 10 too", "3: missed; the aim is 6", "1 of 3 turns failed: the kernel ended it: out of memory",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, text.String())
		}
	}
}

func TestWhatWeightsAndSlotsLeaveIsHostMemory(t *testing.T) {
	s := sizes{Weights: 92 << 20, KV: map[string]int64{"f16": 720 << 20}, layers: 30}
	for _, tt := range []struct{ memory, given, want int }{{300, -1, 80}, {200, -1, 0}, {300, 20, 20}} {
		o := options{HostMemory: tt.given, Cache: "offloaded"}
		if got := o.hostMemory(s, "f16", tt.memory); got != tt.want {
			t.Errorf("in %d MiB, %d given: %d MiB; want %d", tt.memory, tt.given, got, tt.want)
		}
	}
}

func TestExitStatusTellsMisuseFromFailure(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want int
		text string
	}{
		{[]string{"--help"}, exitOK, "--memory"},
		{[]string{"--sleep"}, exitMisuse, "unknown flag"},
		{nil, exitMisuse, "say which model"},
		{[]string{"-m", "x", "--context", "9", "--memory", "1", "--rounds", "0", "--steps", "7", "--arms", "vLLM"}, exitMisuse, `there is no arm "vLLM"`},
		{[]string{"dance"}, exitMisuse, "want measure, clean or arm"},
		{[]string{"arm", "--program", "vLLM"}, exitMisuse, `unknown program "vLLM"`},
		{[]string{"clean", "more"}, exitMisuse, `unexpected argument "more"`},
	} {
		var stderr bytes.Buffer
		if got := run(t.Context(), tt.args, nil, io.Discard, &stderr); got != tt.want || !strings.Contains(stderr.String(), tt.text) {
			t.Errorf("limited %v: status %d, %q; want %d with %q", tt.args, got, stderr.String(), tt.want, tt.text)
		}
	}
}

func TestBothProgramsDecodeAtTheEndOfTheContext(t *testing.T) {
	if _, err := ggml.Load(); errors.Is(err, ggml.ErrNoLibrary) {
		t.Skip(err)
	}
	model := testmodel.WriteFile(t, testmodel.Options{Layers: 3})
	for _, args := range [][]string{
		{"--program", "ebb", "--kv-type", "f16", "--host-memory", "0"},
		{"--program", "ebb", "--kv-type", "q8_0", "--cache", "auto"},
		{"--program", "llama.cpp", "--kv-type", "f16"},
		{"--program", "llama.cpp", "--kv-type", "q8_0"},
	} {
		var stdout, stderr bytes.Buffer
		args = append([]string{"arm", "-m", model, "--context", "512", "--steps", "3", "--threads", "1", "--dir", t.TempDir()}, args...)
		if status := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr); status != exitOK {
			t.Fatalf("%v: %s", args, stderr.String())
		}
		var got turn
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Steps) != 3 || slices.Min(got.Steps) <= 0 || got.Fill <= 0 || got.Places == "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestACopyOfTheModelIsMadeOnce(t *testing.T) {
	dir := system(t, map[string]string{"model": "weights"})
	to := filepath.Join(dir, modelName)
	if err := copyFile(to, filepath.Join(dir, "model")); err != nil || content(t, to) != "weights" {
		t.Error(err)
	}
	if err := copyFile(to, filepath.Join(dir, "model")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second one: %v", err)
	}
}
