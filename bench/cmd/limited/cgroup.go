package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// limits makes memory cgroups, of version 1 or 2.
type limits struct {
	dir string // in which groups are made
	v2  bool
}

// groupPrefix begins the names of the groups that this program makes.
const groupPrefix = "ebb-limited-"

// findLimits finds the controller under a root folder.
func findLimits(root string) (limits, error) {
	base := filepath.Join(root, "sys/fs/cgroup")
	if _, err := os.Stat(filepath.Join(base, "memory/memory.limit_in_bytes")); err == nil {
		return limits{filepath.Join(base, "memory"), false}, nil
	}
	controllers, err := os.ReadFile(filepath.Join(base, "cgroup.controllers"))
	if err != nil {
		return limits{}, fmt.Errorf("there is no memory controller of cgroups under %s, of version 1 or 2: it limits the memory of both programs", base)
	}
	if !strings.Contains(" "+string(controllers)+" ", " memory ") && !strings.Contains(string(controllers), "memory") {
		return limits{}, fmt.Errorf("the cgroups under %s have no memory controller", base)
	}
	return limits{base, true}, nil
}

// group is a cgroup with a limit.
type group struct {
	dir string
	v2  bool
}

// group makes a cgroup for some bytes of memory. Without swap, what is in memory stays there.
func (l limits) group(name string, bytes int64, swap bool) (_ *group, err error) {
	g := &group{filepath.Join(l.dir, groupPrefix+name), l.v2}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.remove())
		}
	}()
	limit, swapFile, swapLimit := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", bytes // of memory and swap together
	if l.v2 {
		limit, swapFile, swapLimit = "memory.max", "memory.swap.max", 0
		if _, err := os.Stat(filepath.Join(g.dir, limit)); err != nil {
			return nil, fmt.Errorf("%s has no %s: write +memory to %s", g.dir, limit, filepath.Join(l.dir, "cgroup.subtree_control"))
		}
	}
	if err := g.write(limit, strconv.FormatInt(bytes, 10)); err != nil {
		return nil, err
	}
	if swap {
		return g, nil // as much as there is
	}
	err = g.write(swapFile, strconv.FormatInt(swapLimit, 10))
	if errors.Is(err, fs.ErrNotExist) { // the kernel does not count swap
		err = nil
		if !l.v2 {
			err = g.write("memory.swappiness", "0")
		}
	}
	return g, err
}

func (g *group) write(name, value string) error {
	return os.WriteFile(filepath.Join(g.dir, name), []byte(value), 0o644)
}

// procs is the file that moves a process into the group.
func (g *group) procs() string { return filepath.Join(g.dir, "cgroup.procs") }

// number reads a file with one number; -1: there is none.
func (g *group) number(name string) int64 {
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// field reads a number from a file with a name and a number in each line; -1: there is none.
func (g *group) field(file, name string) int64 {
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return -1
}

// memory is what a group has used, in bytes; -1: the kernel does not say.
type memory struct {
	Peak   int64 `json:"peak_bytes"` // of memory: what is mapped, and the page cache, too
	Own    int64 `json:"own_bytes"`  // of memory that is not a file's, at the end
	Swap   int64 `json:"swap_bytes"` // at the end
	Killed int64 `json:"killed"`     // processes that were killed because nothing was left
}

func (g *group) memory() memory {
	if g.v2 {
		return memory{g.number("memory.peak"), g.field("memory.stat", "anon"), g.number("memory.swap.current"), g.field("memory.events", "oom_kill")}
	}
	return memory{g.number("memory.max_usage_in_bytes"), g.field("memory.stat", "rss"), g.field("memory.stat", "swap"), g.field("memory.oom_control", "oom_kill")}
}

// remove ends the processes of the group, all of which this program has started, and removes it.
func (g *group) remove() error {
	for range 100 {
		for _, pid := range g.pids() {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill() // it may have ended
			}
		}
		err := os.Remove(g.dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the cgroup %s has processes that do not end", g.dir)
}

func (g *group) pids() (pids []int) {
	text, _ := os.ReadFile(g.procs())
	for field := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// removeGroups removes the groups that a killed run has left.
func (l limits) removeGroups() error {
	left, err := filepath.Glob(filepath.Join(l.dir, groupPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range left {
		errs = append(errs, (&group{dir, l.v2}).remove())
	}
	return errors.Join(errs...)
}
