package plot

import (
	"encoding/xml"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb/internal/measure"
)

// drawing is what an SVG file of this package shows.
type drawing struct {
	Paths []struct {
		D     string `xml:"d,attr"`
		Style string `xml:"style,attr"`
	} `xml:"path"`
	Texts  []string  `xml:"text"`
	Groups []drawing `xml:"g"`
}

// texts returns all that is written in a drawing.
func (d drawing) texts() string {
	all := strings.Join(d.Texts, "\n")
	for _, g := range d.Groups {
		all += "\n" + g.texts()
	}
	return all
}

// paths returns the corners of the paths with that in their style.
func (d drawing) paths(style string) (paths [][]measure.XY) {
	for _, p := range d.Paths {
		if !strings.Contains(p.Style, style) {
			continue
		}
		var points []measure.XY
		for _, pair := range strings.FieldsFunc(p.D, func(r rune) bool { return r == 'M' || r == 'L' || r == 'Z' }) {
			x, y, _ := strings.Cut(pair, ",")
			px, err1 := strconv.ParseFloat(x, 64)
			py, err2 := strconv.ParseFloat(y, 64)
			if err1 == nil && err2 == nil {
				points = append(points, measure.XY{X: px, Y: py})
			}
		}
		paths = append(paths, points)
	}
	for _, g := range d.Groups {
		paths = append(paths, g.paths(style)...)
	}
	return paths
}

// write draws a report and reads the file of a name.
func write(t *testing.T, r *measure.Report, name string) drawing {
	t.Helper()
	folder := t.TempDir()
	files, err := WriteFiles(folder, r)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(folder, name+".svg")
	if diff := cmp.Diff(files, []string{want}); diff != "" {
		t.Errorf("files (-got +want):\n%s", diff)
	}
	text, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	var d drawing
	if err := xml.Unmarshal(text, &d); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return d
}

// report returns one with a name in it.
func report() *measure.Report {
	return &measure.Report{Machine: measure.Machine{CPU: "A <Processor>", Cores: 2, Device: "cpu", Library: "0.25.1", Commit: "abc"}, Model: measure.Model{File: "m.gguf"}}
}

func TestCurveHasItsPointsInPlace(t *testing.T) {
	r := report()
	points := []measure.XY{{X: 0, Y: 80}, {X: 100, Y: 60}, {X: 400, Y: 10}}
	r.Curves = []measure.Curve{{
		Name: "curve", Title: "A & B", X: "tokens", Y: "tokens/s",
		Series: []measure.Series{{Name: "ours", Points: points}, {Name: "bound", Bound: true, Points: []measure.XY{{X: 0, Y: 90}, {X: 400, Y: 90}}}},
	}}
	d := write(t, r, "curve")
	for _, want := range []string{"A & B", "m.gguf; A <Processor>, 2 cores, cpu, ggml 0.25.1, ebb abc", "tokens", "tokens/s", "ours", "bound"} {
		if !strings.Contains(d.texts(), want) {
			t.Errorf("no %q among the texts\n%s", want, d.texts())
		}
	}
	lines := d.paths("stroke-width:1.5")
	var line []measure.XY
	for _, l := range lines {
		if len(l) == len(points) {
			line = l
		}
	}
	if line == nil {
		t.Fatalf("no line of %d points among %v", len(points), lines)
	}
	// Where a point lies between the first and the last tells the scale.
	for i, p := range points {
		first, last := points[0], points[len(points)-1]
		share := func(v, from, to float64) float64 { return (v - from) / (to - from) }
		gotX, wantX := share(line[i].X, line[0].X, line[2].X), share(p.X, first.X, last.X)
		gotY, wantY := share(line[i].Y, line[0].Y, line[2].Y), share(p.Y, first.Y, last.Y)
		// Coordinates are written with a few digits.
		if math.Abs(gotX-wantX) > 1e-3 || math.Abs(gotY-wantY) > 1e-3 {
			t.Errorf("point %d at %.4f, %.4f of the way: want %.4f, %.4f", i, gotX, gotY, wantX, wantY)
		}
	}
	if bounds := d.paths("stroke-dasharray:4,3"); len(bounds) == 0 {
		t.Error("the bound is not dashed")
	}
}

func TestTimelineHasABarForEachSpan(t *testing.T) {
	r := report()
	spans := []measure.TimelineSpan{
		{Track: "cpu compute", Name: "layer", Layer: 0, Start: 0.001, End: 0.005},
		{Track: "cpu compute", Name: "layer", Layer: 2, Start: 0.006, End: 0.008},
		{Track: "cpu fetch", Name: "fetch", Layer: 4, Start: 0, End: 0.010},
		{Track: "step", Name: "step", Layer: -1, Start: 0, End: 0.010},
	}
	r.Timelines = []measure.Timeline{{Name: "time", Title: "One step", Spans: spans}}
	d := write(t, r, "time")
	for _, want := range []string{"One step", "cpu compute", "cpu fetch", "ms"} {
		if !strings.Contains(d.texts(), want) {
			t.Errorf("no %q among the texts\n%s", want, d.texts())
		}
	}
	bars := d.paths("fill:#6C9FCE")
	if len(bars) != 3 {
		t.Fatalf("%d bars: want one for each span but the step", len(bars))
	}
	width := func(bar []measure.XY) float64 { return bar[1].X - bar[0].X }
	for i, bar := range bars {
		got, want := width(bar)/width(bars[2]), (spans[i].End-spans[i].Start)/(spans[2].End-spans[2].Start)
		if math.Abs(got-want) > 1e-3 { // coordinates are written with a few digits
			t.Errorf("bar %d has %.4f of the width of the longest: want %.4f", i, got, want)
		}
	}
	if bars[0][0].Y != bars[1][0].Y || bars[0][0].Y == bars[2][0].Y {
		t.Errorf("bars %v: want those of a track at the same height, and the others at another", bars)
	}
}

func TestFolderThatCannotBeWrittenIsAnError(t *testing.T) {
	r := report()
	r.Curves = []measure.Curve{{Name: "curve", Series: []measure.Series{{Name: "s", Points: []measure.XY{{X: 1, Y: 1}}}}}}
	if files, err := WriteFiles(filepath.Join(t.TempDir(), "nowhere"), r); err == nil || !strings.Contains(err.Error(), "plot: ") || len(files) != 0 {
		t.Errorf("files %v, error %v: want none, and an error", files, err)
	}
	if files, err := WriteFiles(t.TempDir(), report()); err != nil || len(files) != 0 {
		t.Errorf("files %v, error %v of a report without curves: want none", files, err)
	}
}
