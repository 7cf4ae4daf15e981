package measure

import (
	"bytes"
	"testing"
)

func TestReadingReachesEveryByte(t *testing.T) {
	for _, size := range []int64{1, 63, 64, 1000, 100_000} {
		for _, threads := range []int{1, 2, 3} {
			memory := NonZero(size)
			if ReadAll(memory, threads) != nil {
				t.Errorf("%d bytes, %d threads: a zero byte was found where there is none", size, threads)
			}
			for _, at := range []int64{0, size / 2, size - 1} {
				memory[at] = 0
				if ReadAll(memory, threads) == nil {
					t.Errorf("%d bytes, %d threads: byte %d was not read", size, threads, at)
				}
				memory[at] = 1
			}
			if got := bytes.Join(parts(memory, threads), nil); !bytes.Equal(got, memory) {
				t.Errorf("%d bytes in %d parts: the parts are not the whole", size, threads)
			}
		}
	}
}

func TestStepReadsTheWeightsAndTheRowsBeforeIt(t *testing.T) {
	a := newReadArm(1, 1000, func(depth int) int64 { return 10 * int64(depth) }, 4)
	if err := a.Rewind(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	a.memory[1029] = 0 // the last byte of the third token's rows
	if err := a.Step(t.Context(), 1); err == nil {
		t.Error("a step at depth 3 did not read 1030 bytes")
	}
	a.memory[1029], a.memory[1030] = 1, 0
	if err := a.Rewind(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := a.Step(t.Context(), 1); err != nil {
		t.Errorf("a step at depth 3 read more than 1030 bytes: %v", err)
	}
	if err := a.Step(t.Context(), 1); err == nil {
		t.Error("the next step did not read the row of the one before")
	}
}
