package plot

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/seed4d217819/ebb/internal/measure"
)

// WriteFiles draws every curve and timeline of a report into a folder, each as an SVG file that has
// its name, and returns the paths of the files.
func WriteFiles(folder string, r *measure.Report) (files []string, err error) {
	write := func(name string, p *gonum.Plot, width, height vg.Length) error {
		file := filepath.Join(folder, name+".svg")
		p.Title.Text += "\n" + r.Model.File + "; " + r.Machine.String()
		if err := os.WriteFile(file, render(p, width, height), 0o666); err != nil {
			return fmt.Errorf("plot: %w", err)
		}
		files = append(files, file)
		return nil
	}
	for _, c := range r.Curves {
		p, err := curve(c)
		if err != nil {
			return files, fmt.Errorf("plot: %s: %w", c.Name, err)
		}
		if err := write(c.Name, p, 8*vg.Inch, 5*vg.Inch); err != nil {
			return files, err
		}
	}
	for _, t := range r.Timelines {
		if err := write(t.Name, timeline(t), 14*vg.Inch, 3*vg.Inch); err != nil {
			return files, err
		}
	}
	return files, nil
}

// render draws a plot as an SVG file.
func render(p *gonum.Plot, width, height vg.Length) []byte {
	const margin = 10 * vg.Length(1) // points; viewers have other fonts, and wider ones
	canvas := vgsvg.New(width, height)
	p.Draw(draw.Crop(draw.New(canvas), margin, -2*margin, margin, -margin))
	var text bytes.Buffer
	_, _ = canvas.WriteTo(&text) // a buffer takes all
	return text.Bytes()
}

// newPlot returns an empty plot with named axes and a plain typeface.
func newPlot(title, x, y string) *gonum.Plot {
	p := gonum.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(6)
	for _, f := range []*font.Font{
		&p.Title.TextStyle.Font, &p.Legend.TextStyle.Font,
		&p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font,
	} {
		f.Variant = "Sans"
	}
	return p
}
