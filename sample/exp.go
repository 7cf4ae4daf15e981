package sample

import "math"

// Exponentials are computed here and not by package math, whose last bits differ from one kind of
// processor to another, and with them the draws of a seed. A product that is added to something is
// first rounded by a conversion: otherwise Go may compute both in one operation on some processors
// and not on others.

// expSteps is how many entries of the table one unit has. The rest of an argument, at most half a
// step, is computed by the first three terms of the series: the relative error is below 2e-11.
const expSteps = 1024

// expEnd is where exp is zero: e^-104 is less than half of the least float32.
const expEnd = 104

const expTable = 128 // at least expEnd + 1; a power of two needs no check of the index

const (
	e = 2.71828182845904523536028747135266249775724709369995957496696763

	step    = 1.0 / expSteps
	expStep = 1 - step + step*step/2 - step*step*step/6 + step*step*step*step/24 // e^-step, to 1e-17
)

var expWholes, expParts = expTables()

// expTables returns e^-n, and e^(-n·step).
func expTables() (wholes [expTable]float64, parts [expSteps]float64) {
	x := 1.0
	for i := range wholes {
		wholes[i] = x
		x *= 1 / e
	}
	x = 1
	for i := range parts {
		parts[i] = x
		x *= expStep
	}
	return wholes, parts
}

// exp returns e^-d. d is not negative.
func exp(d float64) float64 {
	if !(d < expEnd) {
		return 0
	}
	const toInteger = 3 << 51 // a float64 near it has its integer part in the lowest bits
	z := d*expSteps + toInteger
	i := uint32(math.Float64bits(z))
	r := (z-toInteger)*step - d
	return float64(expWholes[i/expSteps%expTable] * expParts[i%expSteps] * (1 + r + float64(r*r)/2))
}

// below returns how much less x is than top, without rounding.
func below(x, top float32) float64 { return float64(top) - float64(x) }
