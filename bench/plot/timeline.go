package plot

import (
	"image/color"
	"slices"
	"strconv"

	gonum "gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/seed4d217819/ebb/internal/measure"
)

// timeline draws a step: a row for each track, and a bar for each span, with the number of its
// layer if the bar is wide enough.
func timeline(t measure.Timeline) *gonum.Plot {
	p := newPlot(t.Title, "ms", "")
	// The plot shows one step, which needs no bar of its own.
	spans := slices.DeleteFunc(slices.Clone(t.Spans), func(s measure.TimelineSpan) bool { return s.Name == "step" })
	var tracks []string // from the bottom
	for _, s := range spans {
		if !slices.Contains(tracks, s.Track) {
			tracks = append(tracks, s.Track)
		}
	}
	slices.Sort(tracks)
	slices.Reverse(tracks)
	p.NominalY(tracks...)
	p.Y.Tick.Label.Font.Variant = "Sans"
	p.Y.Min, p.Y.Max = -0.6, float64(len(tracks))-0.4
	p.Add(bars{spans: spans, tracks: tracks})
	return p
}

// bars are the spans of a timeline.
type bars struct {
	spans  []measure.TimelineSpan
	tracks []string
}

var (
	_ gonum.Plotter    = bars{}
	_ gonum.DataRanger = bars{}
)

// DataRange returns the ends of the axes: milliseconds, and tracks.
func (b bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, s := range b.spans {
		xmin, xmax = min(xmin, s.Start*1e3), max(xmax, s.End*1e3)
	}
	return xmin, xmax, 0, float64(len(b.tracks) - 1)
}

// Plot draws the bars.
func (b bars) Plot(c draw.Canvas, p *gonum.Plot) {
	x, y := p.Transforms(&c)
	label := p.X.Tick.Label
	label.XAlign, label.YAlign = draw.XCenter, draw.YCenter
	label.Font.Size = vg.Points(7)
	for _, s := range b.spans {
		row := float64(slices.Index(b.tracks, s.Track))
		left, right, bottom, top := x(s.Start*1e3), x(s.End*1e3), y(row-0.4), y(row+0.4)
		corners := []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}}
		c.FillPolygon(barColor(s), corners)
		text := s.Name
		if s.Layer >= 0 {
			text = strconv.Itoa(s.Layer)
		}
		if s.Name != "wait" && label.Width(text) < right-left {
			c.FillText(label, vg.Point{X: (left + right) / 2, Y: y(row)}, text)
		}
	}
}

// barColor distinguishes the kinds of spans, and neighbouring layers.
func barColor(s measure.TimelineSpan) color.Color {
	odd := s.Layer%2 != 0
	switch {
	case s.Name == "wait":
		return color.RGBA{R: 0xf5, G: 0xc6, B: 0xc6, A: 0xff}
	case s.Name == "fetch ahead":
		return color.RGBA{R: 0xc7, G: 0xdc, B: 0xa7, A: 0xff}
	case s.Layer < 0:
		return color.RGBA{R: 0xd9, G: 0xd9, B: 0xd9, A: 0xff}
	case odd:
		return color.RGBA{R: 0x8f, G: 0xb8, B: 0xde, A: 0xff}
	default:
		return color.RGBA{R: 0x6c, G: 0x9f, B: 0xce, A: 0xff}
	}
}
