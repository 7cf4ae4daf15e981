package plot

import (
	"image/color"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"github.com/seed4d217819/ebb/internal/measure"
)

// curve draws lines with a mark at each point; bounds are dashed.
func curve(c measure.Curve) (*gonum.Plot, error) {
	faint, dark := color.Gray{Y: 0xe0}, color.Gray{Y: 0x40}
	p := newPlot(c.Title, c.X, c.Y)
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left = true, true
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = faint, faint
	p.Add(grid)
	for i, s := range c.Series {
		var points plotter.XYs
		for _, q := range s.Points {
			points = append(points, plotter.XY{X: q.X, Y: q.Y})
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, marks.Color, marks.Shape = plotutil.Color(i), plotutil.Color(i), plotutil.Shape(i)
		line.Width = vg.Points(1.5)
		if s.Bound {
			line.Color, marks.Color = dark, dark
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		p.Add(line, marks)
		p.Legend.Add(s.Name, line, marks)
	}
	const line = 0.06 // of the height: what a line of the legend takes
	p.Y.Max *= 1 + line*float64(len(c.Series))
	return p, nil
}
