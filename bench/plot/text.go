package plot

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/guptarohit/asciigraph"

	"github.com/seed4d217819/ebb/internal/measure"
)

// The size of a text plot in characters, without the axes.
const (
	textWidth  = 64
	textHeight = 14
)

// WriteText draws a curve with characters: each series has a letter, and where two series meet, the
// earlier one is visible. It draws nothing if the curve has fewer than two places along its X axis.
func WriteText(w io.Writer, c measure.Curve) error {
	low, high := extent(c)
	if !(low < high) {
		return nil
	}
	var lines [][]float64
	var letters []asciigraph.CharSet
	var legend strings.Builder
	for i, s := range c.Series {
		letter := string(rune('a' + i%26))
		// asciigraph draws later lines over earlier ones.
		lines = slices.Insert(lines, 0, resample(s.Points, low, high, textWidth))
		letters = slices.Insert(letters, 0, asciigraph.CreateCharSet(letter))
		fmt.Fprintf(&legend, "  %s  %s\n", letter, s.Name)
	}
	graph := asciigraph.PlotMany(lines,
		asciigraph.Width(textWidth), asciigraph.Height(textHeight), asciigraph.LowerBound(0), asciigraph.SeriesChars(letters...),
		asciigraph.YAxisValueFormatter(number), asciigraph.XAxisRange(low, high), asciigraph.XAxisValueFormatter(number))
	_, err := fmt.Fprintf(w, "%s: %s over %s\n\n%s\n\n%s", c.Title, c.Y, c.X, graph, legend.String())
	return err
}

// number writes a value on an axis, with at least three digits.
func number(x float64) string {
	if math.Abs(x) >= 100 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// extent returns the ends of a curve's X axis.
func extent(c measure.Curve) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, s := range c.Series {
		for _, p := range s.Points {
			low, high = min(low, p.X), max(high, p.X)
		}
	}
	return low, high
}

// resample returns the values of a line at n evenly spaced places from low to high; NaN where the
// line does not have points on both sides.
func resample(points []measure.XY, low, high float64, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = at(points, low+(high-low)*float64(i)/float64(n-1))
	}
	return values
}

// at returns the value at x of a line through points, which are in the order of their X.
func at(points []measure.XY, x float64) float64 {
	for i, p := range points {
		switch {
		case p.X == x:
			return p.Y
		case p.X > x && i == 0:
			return math.NaN()
		case p.X > x:
			before := points[i-1]
			return before.Y + (p.Y-before.Y)*(x-before.X)/(p.X-before.X)
		}
	}
	return math.NaN()
}
