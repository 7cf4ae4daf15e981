package roof

import (
	"runtime"
	"sync"
	"time"

	"github.com/seed4d217819/ebb/isa"
)

// loop is a loop over products of bytes.
type loop struct {
	run  func(n int)
	each float64 // operations in a round, where a multiplication and an addition count as two
}

// Operations returns how many operations a second some threads reach with products of bytes, each
// thread for at least that time, and whether there is a loop for the instruction set here. A set that
// has no products of bytes of its own has those of the one below.
func Operations(set isa.ISA, threads int, least time.Duration) (perSecond float64, ok bool) {
	l, ok := loopOf(set.Resolved())
	if !ok {
		return 0, false
	}
	rates := make([]float64, threads)
	var all sync.WaitGroup
	for i := range rates {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			rates[i] = l.rate(least)
		})
	}
	all.Wait()
	for _, r := range rates {
		perSecond += r
	}
	return perSecond, true
}

// rate returns the operations a second of the fastest of the rounds that a thread does in some time. A
// round is so short that many are not interrupted.
func (l loop) rate(least time.Duration) float64 {
	const rounds = 2000
	best := time.Duration(1 << 62)
	for start := time.Now(); time.Since(start) < least; {
		begin := time.Now()
		l.run(rounds)
		best = min(best, time.Since(begin))
	}
	return rounds * l.each / best.Seconds()
}
