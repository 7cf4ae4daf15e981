package measure

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"

	"github.com/seed4d217819/ebb/internal/memory"
)

// readArm reads as many bytes as a step of one token must: weights, and the K/V of the tokens
// before it. No program that reads them from memory is faster.
type readArm struct {
	threads int
	fixed   int64                 // bytes at any depth
	rows    func(depth int) int64 // additional bytes at a depth
	depth   int
	memory  []byte
}

var _ Arm = (*readArm)(nil)

// newReadArm allocates the bytes at the deepest depth, room. rows is larger the deeper it is.
func newReadArm(threads int, fixed int64, rows func(depth int) int64, room int) *readArm {
	return &readArm{threads: threads, fixed: fixed, rows: rows, memory: NonZero(fixed + rows(room))}
}

func (a *readArm) Name() string { return "reading the bytes of a step" }

func (a *readArm) Rewind(_ context.Context, depth int) error {
	a.depth = depth
	return nil
}

func (a *readArm) Step(_ context.Context, n int) error {
	size := a.fixed + a.rows(a.depth)
	a.depth += n
	return ReadAll(a.memory[:size], a.threads)
}

func (a *readArm) Close() error { return nil }

// errUnread reports memory that was not read, or that does not hold what was written.
var errUnread = errors.New("bench: memory that was written reads as zero")

// NonZero returns memory without a zero byte, all of it touched. It lies in huge pages where the system
// gives them, as weights do: with small ones, reading is slower than some products are.
func NonZero(size int64) []byte {
	all := make([]byte, size)
	memory.UseHugePages(reflect.ValueOf(all).Pointer(), size)
	for i := range all {
		all[i] = byte(i) | 1
	}
	return all
}

// ReadAll reads memory with some threads. It returns an error if the memory has a zero byte, so
// that the reading cannot be optimised away. The search for a zero byte is the fastest way to read
// in Go: assembly with the widest loads of the CPU's generation (32 bytes with AVX2), unrolled, and
// with nothing to do for each byte.
func ReadAll(memory []byte, threads int) error {
	found := make([]bool, threads)
	pieces := parts(memory, threads)
	inParallel(threads, func(i int) { found[i] = bytes.IndexByte(pieces[i], 0) >= 0 })
	if slices.Contains(found, true) {
		return errUnread
	}
	return nil
}

// inParallel calls f with 0 to n-1, each in a goroutine, and waits for them.
func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// parts cuts memory into n pieces of whole cache lines.
func parts(memory []byte, n int) (pieces [][]byte) {
	const line = 64
	each := ((len(memory)+n-1)/n + line - 1) / line * line
	for range n {
		cut := min(each, len(memory))
		pieces, memory = append(pieces, memory[:cut]), memory[cut:]
	}
	return pieces
}
