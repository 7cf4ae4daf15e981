package measure

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
	"time"

	"github.com/seed4d217819/ebb/internal/cputime"
)

// Usage is the CPU time used so far, by this process and by all.
type Usage struct {
	own, all time.Duration
}

// ReadUsage reads the clocks. Where the system does not say what this process used, own is the time of day, which keeps
// [Settle] waiting; where the system does not say what all processes used, all is 0.
func ReadUsage() Usage {
	u := Usage{own: time.Duration(time.Now().UnixNano())}
	if used, ok := cputime.Process(); ok {
		u.own = used.CPU
	}
	if stat, err := os.ReadFile("/proc/stat"); err == nil {
		u.all = busyTime(stat)
	}
	return u
}

// tick is the unit of /proc/stat: USER_HZ is 100 on every architecture of Linux.
const tick = 10 * time.Millisecond

// busyTime adds up the first line of /proc/stat: user, nice, system, and behind
// idle and iowait those of interrupts and of other virtual machines.
func busyTime(stat []byte) time.Duration {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	words := bufio.NewScanner(bytes.NewReader(line))
	words.Split(bufio.ScanWords)
	var all time.Duration
	for i := -1; words.Scan() && i < 8; i++ {
		const idle, iowait = 3, 4
		if n, err := strconv.ParseInt(words.Text(), 10, 64); err == nil && i != idle && i != iowait {
			all += time.Duration(n) * tick
		}
	}
	return all
}

// OthersSince returns how many cores other processes used on average.
func (u Usage) OthersSince(before Usage, wall time.Duration) float64 {
	others := (u.all - before.all) - (u.own - before.own)
	// A difference of up to one tick in each of the two reads means nothing.
	if others <= 2*tick || wall <= 0 {
		return 0
	}
	return others.Seconds() / wall.Seconds()
}
