package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/seed4d217819/ebb/internal/measure"
)

// commandPeer is another engine that comes with llama.cpp's llama-bench, as ik_llama.cpp does. It is
// a process of its own in each turn, which loads the model and times its steps itself.
type commandPeer struct {
	program string // the path of llama-bench
	model   string
	setting measure.Setting
	depth   int // tokens in the cache
}

var (
	_ measure.Timed       = (*commandPeer)(nil)
	_ measure.Accompanied = (*commandPeer)(nil)
)

// openCommand returns the engine whose llama-bench the options name, or a note that says why it cannot
// be measured.
func (o *Options) openCommand(s measure.Setting) (*commandPeer, string) {
	if !o.OnCPU() {
		return nil, "Without " + o.PeerBench + ": it is measured on the CPU only."
	}
	program, err := exec.LookPath(o.PeerBench)
	if err != nil {
		return nil, fmt.Sprintf("Without the peer's llama-bench: %v.", err)
	}
	a := &commandPeer{program: program, model: o.Model, setting: s}
	if _, err := a.Turn(context.Background(), 2, measure.Pace{Steps: 1}); err != nil {
		return nil, fmt.Sprintf("Without the peer's llama-bench: %v.", err)
	}
	return a, ""
}

// peerCommand is the name of the arm. What the engine is only its user knows.
const peerCommand = "the peer's llama-bench"

func (a *commandPeer) Name() string { return peerCommand }

// Cores returns the threads of the process, which is not this one.
func (a *commandPeer) Cores() float64 { return float64(a.setting.Threads) }

func (a *commandPeer) Rewind(_ context.Context, depth int) error {
	a.depth = depth
	return nil
}

// Step reports that the arm does not take single steps.
func (a *commandPeer) Step(context.Context, int) error { return errors.ErrUnsupported }

func (a *commandPeer) Close() error { return nil }

// Turn runs llama-bench once. Steps of one token are measured together, behind one that is not, and
// steps of more tokens one by one: they are prompts, each of which is the first of its sequence.
func (a *commandPeer) Turn(ctx context.Context, n int, p measure.Pace) ([]float64, error) {
	args := []string{
		"-m", a.model, "-t", strconv.Itoa(a.setting.Threads), "-ngl", "0", "-fa", "1",
		"-ctk", a.setting.KVType, "-ctv", a.setting.KVType, "-o", "json",
	}
	switch {
	case n > 1 && a.depth > 0:
		return nil, fmt.Errorf("%s: %w: prompts behind %d tokens", a.program, errors.ErrUnsupported, a.depth)
	case n > 1:
		args = append(args, "-p", strconv.Itoa(n), "-n", "0", "-r", strconv.Itoa(p.WarmUpSteps+p.Steps))
	case a.depth > 0:
		args = append(args, "-p", "0", "-n", "0", "-gp", fmt.Sprintf("%d,%d", a.depth, p.Steps), "-r", "1")
	default:
		args = append(args, "-p", "0", "-n", strconv.Itoa(p.Steps), "-r", "1")
	}
	out, _, err := output(ctx, "", a.program, args...)
	if err != nil {
		return nil, err
	}
	seconds, err := readSamples(out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.program, err)
	}
	if n == 1 {
		return even(seconds[0], p.Steps), nil
	}
	if len(seconds) != p.WarmUpSteps+p.Steps {
		return nil, fmt.Errorf("%s: %d times of %d prompts", a.program, len(seconds), p.WarmUpSteps+p.Steps)
	}
	return seconds[p.WarmUpSteps:], nil
}

// readSamples returns the seconds that llama-bench reports of its only test.
func readSamples(report []byte) ([]float64, error) {
	var tests []struct {
		Nanoseconds []float64 `json:"samples_ns"`
	}
	if err := json.Unmarshal(report, &tests); err != nil {
		return nil, fmt.Errorf("its report: %w", err)
	}
	if len(tests) != 1 || len(tests[0].Nanoseconds) == 0 {
		return nil, fmt.Errorf("its report has %d tests, or none with samples_ns: want one", len(tests))
	}
	seconds := tests[0].Nanoseconds
	for i := range seconds {
		seconds[i] /= 1e9
		if !(seconds[i] > 0) || math.IsInf(seconds[i], 1) {
			return nil, fmt.Errorf("its report has a time of %g s", seconds[i])
		}
	}
	return seconds, nil
}

// even shares the time of n steps among them.
func even(seconds float64, n int) []float64 {
	each := make([]float64, n)
	for i := range each {
		each[i] = seconds / float64(n)
	}
	return each
}

// output runs a program in a folder and returns what it printed, and what it printed as an error. The
// error has the last line of that.
func output(ctx context.Context, folder, program string, args ...string) (out, log []byte, err error) {
	var problems bytes.Buffer
	c := exec.CommandContext(ctx, program, args...)
	c.Dir, c.Stderr = folder, &problems
	if out, err = c.Output(); err != nil {
		lines := strings.Split(strings.TrimSpace(problems.String()), "\n")
		return nil, nil, fmt.Errorf("%s: %w: %s", filepath.Base(program), err, lines[len(lines)-1])
	}
	return out, problems.Bytes(), nil
}
