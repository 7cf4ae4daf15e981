package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/internal/memory"
	"github.com/seed4d217819/ebb/isa"
	"github.com/seed4d217819/ebb/product"
)

// ofProcess matches a line of --verbose about the memory of the process.
var ofProcess = regexp.MustCompile(`(?m)^ {11}(\S.*?) +([0-9.]+) (B|KiB|MiB|GiB)$`)

// verboseRun runs a model with --verbose in a process of its own, and returns the lines about its memory.
func verboseRun(t *testing.T, args ...string) (lines map[string]float64, text string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"run", "--verbose"}, args...)...)
	cmd.Args[0] = "ebb" // as which TestMain runs main
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, stderr.String())
	}
	_, text, ok := strings.Cut(stderr.String(), "\nprocess ")
	if !ok {
		t.Fatalf("nothing about the process:\n%s", stderr.String())
	}
	lines = map[string]float64{}
	for _, m := range ofProcess.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		lines[m[1]] = n * map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[m[3]]
	}
	return lines, text
}

// manyIDs returns ids of a prompt of n tokens.
func manyIDs(n int) string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(1000 + i*7919%40000)
	}
	return strings.Join(ids, ",")
}

// The bound is that of what ebb takes besides weights and K/V, which does not grow with the text: the
// memory of a prompt is given back when it is over.
func TestAProcessTakesLittleBesidesWeightsAndKV(t *testing.T) {
	if testing.Short() {
		t.Skip("cpu: a real model computes")
	}
	needLibraries(t)
	if _, err := memory.Mappings(); errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("cpu: %v", err)
	}
	if _, err := os.Stat(smolLM2()); err != nil {
		t.Skip("SmolLM2 is not in the cache: run make model")
	}
	lines, text := verboseRun(t, "-m", smolLM2(), "--device", "cpu", "--context", "8192", "--prompt-ids", manyIDs(1500), "--max-new-tokens", "8", "--ignore-eos")
	all := lines["in memory in all"]
	if rest := lines["the rest"]; all == 0 || rest > all/20 {
		t.Errorf("%.0f of %.0f bytes are not accounted for, want at most a twentieth:\n%s", rest, all, text)
	}
	sum := 0.0
	for name, n := range lines {
		if name != "in memory in all" {
			sum += n
		}
	}
	if sum < 0.99*all || sum > 1.01*all {
		t.Errorf("the lines add up to %.0f bytes, want %.0f:\n%s", sum, all, text)
	}
	const most = 40 << 20
	if own := all - lines[mappedWeights] - lines[copiedWeights] - lines[keysAndValues] - lines[statesOfSeqs]; own > most {
		t.Errorf("%.1f MiB besides weights and K/V, want at most %d:\n%s", own/(1<<20), most>>20, text)
	}
	const weights = 92.2 * (1 << 20) // of the file's tensors
	layout := 0.0
	if set, err := isa.Parse(os.Getenv(isa.Variable)); err != nil || !product.Of(set).Any() {
		layout = 28.7 * (1 << 20) * 4 / 34 // where ggml has an order with 38 bytes for 34 of the embedding (AMX)
	}
	if got := lines[mappedWeights] + lines[copiedWeights]; got > 1.01*weights+layout {
		t.Errorf("weights take %.1f MiB, want those of the file once:\n%s", got/(1<<20), text)
	}
	t.Logf("\n%s", text)
}

func TestTheMemoryOfTheProcessIsWhatTheSystemCounts(t *testing.T) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("cpu: %v", err)
	}
	p, err := readProcessMemory(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmRSS in\n%s", status)
	}
	kilobytes, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if difference := p.all - kilobytes<<10; max(difference, -difference) > 4<<20 {
		t.Errorf("%d bytes in all, and VmRSS was %d KiB a moment before", p.all, kilobytes)
	}
	if p.rest < 0 {
		t.Errorf("the lines %+v are more than the %d bytes in all", p.lines, p.all)
	}
}
