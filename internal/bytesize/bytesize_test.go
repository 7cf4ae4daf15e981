package bytesize

import (
	"fmt"
	"math"
	"testing"
)

func TestSizesRoundAsTheirFunctionSays(t *testing.T) {
	for _, tt := range []struct {
		n                   int64
		floor, format, ceil string
	}{
		{-1, "-1 B", "-1 B", "-1 B"},
		{0, "0 B", "0 B", "0 B"},
		{1023, "1023 B", "1023 B", "1023 B"},
		{1 << 10, "1.0 KiB", "1.0 KiB", "1.0 KiB"},
		{1<<10 + 1, "1.0 KiB", "1.0 KiB", "1.1 KiB"},
		{1536, "1.5 KiB", "1.5 KiB", "1.5 KiB"},
		{1<<20 - 1, "1023.9 KiB", "1.0 MiB", "1.0 MiB"},
		{5 << 30, "5.0 GiB", "5.0 GiB", "5.0 GiB"},
		{5<<30 + 1, "5.0 GiB", "5.0 GiB", "5.1 GiB"},
		{2_000_000_000, "1.8 GiB", "1.9 GiB", "1.9 GiB"},
		{1280, "1.2 KiB", "1.2 KiB", "1.3 KiB"}, // 1.25
		{3 << 29, "1.5 GiB", "1.5 GiB", "1.5 GiB"},
		{5 << 50, "5120.0 TiB", "5120.0 TiB", "5120.0 TiB"},
		{math.MaxInt64, "8388607.9 TiB", "8388608.0 TiB", "8388608.0 TiB"},
	} {
		if got := Floor(tt.n); got != tt.floor {
			t.Errorf("Floor(%d) = %s, want %s", tt.n, got, tt.floor)
		}
		if got := Format(tt.n); got != tt.format {
			t.Errorf("Format(%d) = %s, want %s", tt.n, got, tt.format)
		}
		if got := Ceil(tt.n); got != tt.ceil {
			t.Errorf("Ceil(%d) = %s, want %s", tt.n, got, tt.ceil)
		}
	}
}

func Example() {
	const given, least = 2560000, 2670000
	fmt.Printf("%s is too little: the least that works is %s\n", Floor(given), Ceil(least))
	// Output: 2.4 MiB is too little: the least that works is 2.6 MiB
}
