// Package bytesize writes numbers of bytes for people: with one decimal and a unit of 1024s.
package bytesize

import "fmt"

// Format returns n to the nearest tenth of its unit, as in "1.5 GiB". Below 1024 it has no decimal.
func Format(n int64) string {
	return format(n, func(unit int64) int64 { return unit / 2 })
}

// Floor is Format that never writes more than n: for a bound that something exceeds.
func Floor(n int64) string {
	return format(n, func(int64) int64 { return 0 })
}

// Ceil is Format that never writes less than n: for the least that suffices.
func Ceil(n int64) string {
	return format(n, func(unit int64) int64 { return unit - 1 })
}

// format writes n in the smallest unit that needs at most four digits before the point. extra
// returns what is added to ten times the rest of a division by the unit, to round it.
func format(n int64, extra func(unit int64) int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	const units = "KMGT"
	for i, unit := 0, int64(1<<10); ; i, unit = i+1, unit<<10 {
		tenths := n/unit*10 + (n%unit*10+extra(unit))/unit
		if tenths < 10240 || i == len(units)-1 {
			return fmt.Sprintf("%d.%d %ciB", tenths/10, tenths%10, units[i])
		}
	}
}
