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
	"github.com/seed4d217819/ebb/kv"
)

const (
	// targetBeside is the share of its own speed alone that a program should
	// reach beside a busy one. On two cores a fair share would be two thirds.
	targetBeside = 1.0 / 3
	// targetAdapting is the share of the speed of a fixed number of threads that
	// watching them should leave, alone.
	targetAdapting = 0.97
)

// contention compares steps alone with steps beside a program that takes a core,
// with as many threads as cores, fixed and adapting.
func contention(ctx context.Context, o Options, _ Model) (res Result, err error) {
	if !o.onCPU() {
		res.note("Without contention: it is measured on the CPU only.")
		return res, nil
	}
	s := setting{threads: runtime.NumCPU(), kvType: o.KVTypes[0]}
	with := ebb.Options{Cache: kv.Static, Context: o.Pace.tokens()}
	fixed, err := openEbb("ebb, threads fixed", o, s, with)
	if err != nil {
		return res, err
	}
	arms := []arm{fixed}
	defer func() { err = errors.Join(err, closeAll(arms)) }()
	adapting, err := openEbb("ebb, threads adapting", o, setting{kvType: s.kvType}, with)
	if err != nil {
		return res, err
	}
	arms = append(arms, adapting)
	peers, notes := openPeers(o, s, o.Pace.tokens())
	res.note(notes...)
	for _, p := range peers {
		arms = append(arms, p)
	}

	o.Progress("contention: alone")
	at := point{"contention", s, 0, 1}
	alone, err := measure(ctx, arms, at, o.Pace)
	if err != nil {
		return res, err
	}
	res.Rows = append(res.Rows, alone...)
	res.Scores = append(res.Scores, speedScore(alone[1], alone[0], targetAdapting))

	o.Progress("contention: beside a busy program")
	busy, err := startBusy(ctx, os.Getpid())
	if err != nil {
		res.note(fmt.Sprintf("Without a busy program: %v.", err))
		return res, nil
	}
	defer busy.stop()
	var held []arm
	for _, a := range arms {
		held = append(held, besideBusy{a})
	}
	half := o.Pace // a step may take a hundred times as long
	half.Rounds = (half.Rounds + 1) / 2
	beside, err := measure(ctx, held, at, half)
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

// besideBusy is an arm whose turns are beside a program of ours that takes a
// core.
type besideBusy struct{ arm }

func (b besideBusy) name() string { return b.arm.name() + ", beside a busy program" }

// ownPrograms returns how many cores programs of ours take during an arm's turn.
func ownPrograms(a arm) float64 {
	if _, ok := a.(besideBusy); ok {
		return 1
	}
	return 0
}

// besideScore is the speed beside a busy program divided by that alone. Some
// steps are held up and others are not: what counts is how long they take
// together.
func besideScore(beside, alone Row, target float64) Score {
	s := speedScore(beside, alone, target)
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

// startBusy starts a program that runs until it is stopped, or a process is
// gone.
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
	_ = b.cmd.Wait() // an error says that it was killed
}
