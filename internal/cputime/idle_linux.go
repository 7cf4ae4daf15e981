package cputime

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Idle returns the time, since the machine started, in which the processors
// that this process may run on had nothing to do, added up. It is exact to 10 ms
// a processor.
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

// tick is the unit of /proc/stat: USER_HZ is 100 on every architecture of Linux.
const tick = 10 * time.Millisecond

// idleTime adds up the columns idle and iowait of those processors in /proc/stat
// that count.
func idleTime(stat []byte, counts func(cpu int) bool) (idle time.Duration, ok bool) {
	for line := range bytes.Lines(stat) {
		words := bytes.Fields(line)
		const idleAt, iowaitAt = 4, 5
		if len(words) <= iowaitAt {
			continue
		}
		number, isCPU := bytes.CutPrefix(words[0], []byte("cpu"))
		cpu, err := strconv.Atoi(string(number))
		if !isCPU || err != nil || !counts(cpu) {
			continue
		}
		for _, at := range [...]int{idleAt, iowaitAt} {
			n, err := strconv.ParseInt(string(words[at]), 10, 64)
			if err != nil {
				return 0, false
			}
			idle += time.Duration(n) * tick
		}
		ok = true
	}
	return idle, ok
}
