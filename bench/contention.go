package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/measure"
	"github.com/seed4d217819/ebb/kv"
)

const (
	// targetBeside is the share of its speed alone that an arm should reach beside a busy program.
	// On two cores a fair share would be two thirds.
	targetBeside = 1.0 / 3
	// targetAdapting is the share of the speed of a fixed number of threads that adapting threads
	// should reach alone.
	targetAdapting = 0.97
)

// contention compares steps alone with steps beside a program that takes a core, with as many
// threads as cores, fixed and adapting.
func (o *Options) contention(ctx context.Context, with measure.Options, _ measure.Model) (res measure.Result, err error) {
	if !with.OnCPU() {
		res.Note("Without contention: it is measured on the CPU only.")
		return res, nil
	}
	s := measure.Setting{Threads: runtime.NumCPU(), KVType: with.KVTypes[0]}
	ours := ebb.Options{Cache: kv.Static, Context: with.Pace.Tokens()}
	fixed, err := measure.OpenEbb("ebb, threads fixed", with, s, ours)
	if err != nil {
		return res, err
	}
	arms := []measure.Arm{fixed}
	defer func() { err = errors.Join(err, measure.CloseAll(arms)) }()
	adapting, err := measure.OpenEbb("ebb, threads adapting", with, measure.Setting{KVType: s.KVType}, ours)
	if err != nil {
		return res, err
	}
	arms = append(arms, adapting)
	peers, notes := o.openPeers(s, with.Pace.Tokens())
	res.Note(notes...)
	for _, p := range peers {
		arms = append(arms, p)
	}

	with.Progress("contention: alone")
	at := measure.Point{Workload: "contention", Setting: s, Depth: 0, Tokens: 1}
	alone, err := measure.Measure(ctx, arms, at, with.Pace)
	if err != nil {
		return res, err
	}
	res.Rows = append(res.Rows, alone...)
	res.Scores = append(res.Scores, measure.SpeedScore(alone[1], alone[0], targetAdapting))

	with.Progress("contention: beside a busy program")
	busy, err := startBusy(ctx, os.Getpid())
	if err != nil {
		res.Note(fmt.Sprintf("Without a busy program: %v.", err))
		return res, nil
	}
	defer busy.stop()
	var held []measure.Arm
	for _, a := range arms {
		held = append(held, besideBusy{a})
	}
	half := with.Pace // a step may take a hundred times as long
	half.Rounds = (half.Rounds + 1) / 2
	beside, err := measure.Measure(ctx, held, at, half)
	if err != nil {
		return res, err
	}
	res.Rows = append(res.Rows, beside...)
	for i, row := range beside {
		target := 0.0
		if i == 1 {
			target = targetBeside
		}
		res.Scores = append(res.Scores, besideScore(row, alone[i], target))
	}
	return res, nil
}

// besideBusy is an arm whose turns are beside a program that takes a core.
type besideBusy struct{ measure.Arm }

var _ measure.Accompanied = besideBusy{}

// Cores returns the core that the program takes.
func (b besideBusy) Cores() float64 { return 1 }

func (b besideBusy) Name() string { return b.Arm.Name() + ", beside a busy program" }

// besideScore is the speed beside a busy program divided by the speed alone. The program holds some
// steps up and not others, so the score counts how long all steps take together.
func besideScore(beside, alone measure.Row, target float64) measure.Score {
	s := measure.SpeedScore(beside, alone, target)
	sum := 0.0
	for _, seconds := range beside.Samples {
		sum += seconds
	}
	s.Name += ", all steps"
	s.Value = alone.P25 * float64(len(beside.Samples)) / sum
	return s
}

// busyProgram takes a core.
type busyProgram struct {
	cmd  *exec.Cmd
	kill context.CancelFunc
}

// startBusy starts a program that runs until it is stopped, or until a process has ended.
func startBusy(ctx context.Context, process int) (*busyProgram, error) {
	ctx, kill := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "sh", "-c", `while kill -0 "$0" 2>/dev/null; do :; done`, strconv.Itoa(process))
	if err := cmd.Start(); err != nil {
		kill()
		return nil, err
	}
	return &busyProgram{cmd, kill}, nil
}

// stop ends the program and waits for it.
func (b *busyProgram) stop() {
	b.kill()
	_ = b.cmd.Wait() // the error is that it was killed
}
