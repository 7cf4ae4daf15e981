package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/seed4d217819/ebb/internal/measure"
)

// batchedPeer is the llama-batched-bench of another engine, which has a token of each of several
// sequences in a step.
type batchedPeer struct{ commandPeer }

var _ measure.Timed = (*batchedPeer)(nil)

// openBatched returns the engine whose llama-batched-bench lies beside the llama-bench that the options
// name, or a note that says why it cannot be measured.
func (o *Options) openBatched(s measure.Setting) (*batchedPeer, string) {
	a, note := o.openCommand(s)
	if note != "" {
		return nil, note
	}
	const name = "llama-batched-bench"
	program, err := exec.LookPath(filepath.Join(filepath.Dir(a.program), name+filepath.Ext(a.program)))
	if err != nil {
		return nil, fmt.Sprintf("Without several sequences of the peer: there is no %s beside %s.", name, a.program)
	}
	a.program = program
	return &batchedPeer{*a}, ""
}

func (a *batchedPeer) Name() string { return "the peer's llama-batched-bench" }

// Turn runs the program once, with n sequences, each behind a prompt of its own that has at least a
// token. Their steps are measured together.
func (a *batchedPeer) Turn(ctx context.Context, n int, p measure.Pace) (seconds []float64, err error) {
	folder, err := os.MkdirTemp("", "ebb-bench-*") // it writes a log where it runs
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(folder)
	depth := max(1, a.depth)
	threads := strconv.Itoa(a.setting.Threads)
	model, err := filepath.Abs(a.model)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	out, log, err := output(ctx, folder, a.program,
		"-m", model, "-t", threads, "-tb", threads, "-ngl", "0", "-fa", "on", "-ctk", a.setting.KVType, "-ctv", a.setting.KVType,
		"-c", strconv.Itoa(max(512, n*(depth+p.Steps))), "-npp", strconv.Itoa(depth), "-ntg", strconv.Itoa(p.Steps), "-npl", strconv.Itoa(n))
	if err != nil {
		return nil, err
	}
	whole, err := readBatched(string(out)+"\n"+string(log), n, p.Steps) // where its table is depends on the version
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(a.program), err)
	}
	return even(whole, p.Steps), nil
}

// readBatched returns the seconds in which a token was added so many times to each of n sequences.
func readBatched(table string, n, steps int) (float64, error) {
	const tokens, sequences, seconds, columns = 1, 2, 6, 10
	for line := range strings.Lines(table) {
		cells := strings.FieldsFunc(line, func(r rune) bool { return r == '|' || r == ' ' || r == '\n' || r == '\r' })
		if len(cells) != columns || cells[tokens] != strconv.Itoa(steps) || cells[sequences] != strconv.Itoa(n) {
			continue
		}
		if took, err := strconv.ParseFloat(cells[seconds], 64); err == nil && took > 0 {
			return took, nil
		}
	}
	return 0, fmt.Errorf("its table has no line for %d tokens of each of %d sequences", steps, n)
}
