// Package bytesize writes numbers of bytes for people: with one decimal and a unit of 1024s.
package bytesize

import "fmt"

// Format returns n to the nearest tenth of its unit, as in "1.5 GiB". Below 1024 it has no decimal.
func Format(n int64) string {
	return format(n, func(tenths, rest, unit int64) bool {
		return 2*rest > unit || 2*rest == unit && tenths%2 == 1 // ties to even, as package fmt rounds
	})
}

// Floor is Format that never writes more than n: for a bound that something exceeds.
func Floor(n int64) string { return format(n, func(_, _, _ int64) bool { return false }) }

// Ceil is Format that never writes less than n: for the least that suffices.
func Ceil(n int64) string { return format(n, func(_, rest, _ int64) bool { return rest > 0 }) }

// format writes n in the smallest unit that needs at most four digits before the point. up decides
// whether a number of tenths of the unit is rounded up, whose rest is less than the unit.
func format(n int64, up func(tenths, rest, unit int64) bool) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	const units = "KMGT"
	for i, unit := 0, int64(1<<10); ; i, unit = i+1, unit<<10 {
		rest := n % unit * 10
		tenths := n/unit*10 + rest/unit
		if up(tenths, rest%unit, unit) {
			tenths++
		}
		if tenths < 10240 || i == len(units)-1 {
			return fmt.Sprintf("%d.%d %ciB", tenths/10, tenths%10, units[i])
		}
	}
}
