package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// takeTurns measures all arms in each size of memory. They alternate: each has one turn in a round.
func takeTurns(ctx context.Context, o options, s sizes, l limits, m machine, progress io.Writer) (*report, error) {
	list, err := chosen(o.Arms)
	if err != nil {
		return nil, err
	}
	r := newReport(o, s, list)
	for i, size := range o.Memory {
		for round := range o.Rounds {
			for j, a := range list {
				start := time.Now()
				with := o
				with.HostMemory = o.hostMemory(s, a.kvType, size)
				t, err := takeTurn(ctx, with, l, m, a, int64(size)<<20, fmt.Sprintf("%d-%d-%d-%d", os.Getpid(), i, round, j))
				if err != nil {
					return nil, fmt.Errorf("%s in %d MiB: %w", a.label, size, err)
				}
				r.Memory[i].Arms[j].Turns = append(r.Memory[i].Arms[j].Turns, t)
				fmt.Fprintf(progress, "%d MiB, round %d of %d, %s: %s (%.0f s)\n", size, round+1, o.Rounds, a.label, t, time.Since(start).Seconds())
			}
		}
	}
	return r, nil
}

// measured is a turn with the memory that it took.
type measured struct {
	turn
	memory
	Failed string `json:"failed,omitempty"` // why there are no steps
}

// speed returns tokens a second; 0: the turn failed.
func (t measured) speed() float64 {
	seconds := 0.0
	for _, s := range t.Steps {
		seconds += s
	}
	if seconds == 0 {
		return 0
	}
	return float64(len(t.Steps)) / seconds
}

func (t measured) String() string {
	if t.Failed != "" {
		return t.Failed
	}
	return fmt.Sprintf("%.3g tokens/s, %s at most, %s its own at the end, %s in swap", t.speed(), mebibytes(t.Peak), mebibytes(t.Own), mebibytes(t.Swap))
}

// takeTurn runs an arm in a cgroup of its own. An arm that fails, or that the kernel ends because
// nothing is left, has a turn that says so.
func takeTurn(ctx context.Context, o options, l limits, m machine, a arm, bytes int64, name string) (t measured, err error) {
	if err := m.prepare(ctx, a.cluster); err != nil {
		return t, err
	}
	g, err := l.group(name, bytes, a.swap)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, g.remove()) }()
	child, err := startArm(ctx, o, m, a, g)
	if err != nil {
		return t, err
	}
	line, readErr := bufio.NewReader(child.out).ReadBytes('\n')
	t.memory = g.memory()
	ended := child.end()
	switch {
	case ctx.Err() != nil:
		return t, ctx.Err()
	case readErr == nil:
		return t, json.Unmarshal(line, &t.turn)
	case t.Killed > 0:
		t.Failed = "the kernel ended it: out of memory"
	default:
		t.Failed = fmt.Sprintf("%v: %s", ended, strings.TrimSpace(child.log.String()))
	}
	return t, nil
}

// child is an arm that runs.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.ReadCloser
	log *bytes.Buffer
}

// startArm runs this program again, as an arm. A shell enters the cgroup first, so that all of the
// arm's memory counts there.
func startArm(ctx context.Context, o options, m machine, a arm, g *group) (c child, err error) {
	self, err := os.Executable()
	if err != nil {
		return c, err
	}
	args := []string{
		"-c", `echo $$ > "$0" && exec "$@"`, g.procs(),
		self, "arm", "--model", m.model, "--program", a.program, "--kv-type", a.kvType, "--dir", o.Dir, "--cache", o.Cache,
	}
	for name, n := range map[string]int{"context": o.Context, "steps": o.Steps, "seconds": o.Seconds, "threads": o.Threads, "host-memory": o.HostMemory} {
		args = append(args, fmt.Sprintf("--%s=%d", name, n))
	}
	c = child{cmd: exec.CommandContext(ctx, "/bin/sh", args...), log: &bytes.Buffer{}}
	c.cmd.Stderr = c.log
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return c, err
	}
	if c.out, err = c.cmd.StdoutPipe(); err != nil {
		return c, err
	}
	return c, c.cmd.Start()
}

// end lets the arm end, and waits.
func (c child) end() error {
	_ = c.in.Close() // it may have ended
	return c.cmd.Wait()
}
