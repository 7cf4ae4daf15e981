package cputime

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Idle returns the time, since the machine started, in which the processors that this process may
// run on had nothing to do, added up. It is exact to 10 ms a processor.
func Idle() (idle time.Duration, ok bool) {
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		return 0, false
	}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	return idleTime(stat, mask.IsSet)
}

// Busy returns the time, since the machine started, in which its processors did something for any
// process, for the system or for another virtual machine, added up. It is exact to [Tick] a
// processor.
func Busy() (busy time.Duration, ok bool) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	return busyTime(stat)
}

// These are the columns of a line of /proc/stat. The time of guests is already included in user and
// nice.
const (
	user = iota
	nice
	system
	idleColumn
	iowait
	irq
	softirq
	steal
	columns
)

// idleTime adds up the columns idle and iowait of the processors in /proc/stat that count.
func idleTime(stat []byte, counts func(cpu int) bool) (idle time.Duration, ok bool) {
	for line := range bytes.Lines(stat) {
		name, rest, _ := bytes.Cut(line, []byte(" "))
		number, isCPU := bytes.CutPrefix(name, []byte("cpu"))
		cpu, err := strconv.Atoi(string(number))
		if !isCPU || err != nil || !counts(cpu) {
			continue
		}
		t, n, known := times(rest)
		if n <= iowait {
			continue
		}
		if !known {
			return 0, false
		}
		idle += t[idleColumn] + t[iowait]
		ok = true
	}
	return idle, ok
}

// busyTime adds up the other columns of the first line of /proc/stat, which is about all
// processors.
func busyTime(stat []byte) (busy time.Duration, ok bool) {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	rest, isCPU := bytes.CutPrefix(line, []byte("cpu "))
	t, n, known := times(rest)
	for i, used := range t {
		if i != idleColumn && i != iowait {
			busy += used
		}
	}
	return busy, isCPU && known && n > iowait
}

// times reads the columns of a line, and returns how many of them there are and whether all are
// numbers. Old systems have fewer columns.
func times(line []byte) (t [columns]time.Duration, n int, ok bool) {
	for word := range bytes.FieldsSeq(line) {
		if n == columns {
			break
		}
		ticks, err := strconv.ParseInt(string(word), 10, 64)
		if err != nil {
			return t, len(bytes.Fields(line)), false
		}
		t[n] = time.Duration(ticks) * Tick
		n++
	}
	return t, n, true
}
