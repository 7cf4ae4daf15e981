package measure

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/doctor"
)

func TestCopyingReachesEveryByte(t *testing.T) {
	for _, size := range []int64{1, 5, 4096} {
		for _, threads := range []int{1, 2, 3} {
			from := NonZero(size)
			to := make([]byte, size)
			copyAll(to, from, threads)
			if !bytes.Equal(to, from) {
				t.Errorf("%d bytes, %d threads: the copy is not like what was copied", size, threads)
			}
		}
	}
}

func TestDiskFiguresSayWhetherItWasTheDisk(t *testing.T) {
	for direct, how := range map[bool]string{true: "past the page cache", false: "through the page cache"} {
		want := []Figure{
			{Workload: "roofline", Name: "disk written, " + how, Value: 0.5, Unit: "GB/s"},
			{Workload: "roofline", Name: "disk read, " + how, Value: 2, Unit: "GB/s"},
		}
		if diff := cmp.Diff(diskFigures(doctor.Disk{Direct: direct, Write: 5e8, Read: 2e9}), want); diff != "" {
			t.Errorf("direct %t (-got +want):\n%s", direct, diff)
		}
	}
}
