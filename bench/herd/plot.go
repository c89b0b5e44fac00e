package main

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var (
	theirs = color.RGBA{R: 0xb8, G: 0x5c, B: 0x2e, A: 0xff}
	ours   = color.RGBA{R: 0x1f, G: 0x6f, B: 0xb4, A: 0xff}
	ink    = color.RGBA{R: 0x22, G: 0x22, B: 0x22, A: 0xff}
)

// The picture's measures. It has a column of panels for the first minute of each roll and one for
// all of it.
const (
	column = 4.6 * vg.Inch
	height = 0.85 * vg.Inch
	head   = 0.9 * vg.Inch  // above the first panel
	title  = 0.24 * vg.Inch // above each
	foot   = 0.42 * vg.Inch // below the last, for the axis of time
	margin = 0.12 * vg.Inch
)

// picture draws the rolls of the scenario into an SVG file, one below the other on equal axes. The
// vertical axis is logarithmic: some peaks are a thousand times as high as others.
func (s *scenario) picture(file string) error {
	rows := vg.Length(len(s.rows))
	svg := vgsvg.New(2*column+3*margin, head+rows*(title+height)+foot+margin)
	c := draw.New(svg)
	c.SetColor(color.White)
	c.Fill(c.Path())

	style := plot.New().Title.TextStyle
	style.Color, style.XAlign, style.YAlign = ink, draw.XLeft, draw.YTop
	style.Font.Variant = "Sans"
	left, right := margin, 2*margin+column
	style.Font.Size = 12
	c.FillText(style, vg.Point{X: left, Y: c.Max.Y - margin}, fmt.Sprintf(
		"Connects in 100 ms while %d replicas with %s clients are restarted one by one", s.replicas, thousands(s.clients)))
	style.Font.Size = 10
	c.FillText(style, vg.Point{X: left, Y: c.Max.Y - margin - title}, s.heading())
	top := c.Max.Y - head
	c.FillText(style, vg.Point{X: left, Y: top + 2*margin}, "The first minute, each 100 ms:")
	c.FillText(style, vg.Point{X: right, Y: top + 2*margin}, "The whole roll, the worst 100 ms of each second:")

	for i, r := range s.rows {
		first, all := r.panel(r.first, window.Seconds(), firstMinute.Seconds()), r.panel(r.all, 1./60, s.until().Minutes())
		bottom := top - title - height
		if i == len(s.rows)-1 { // the panels above share its time axes
			first.X.Label.Text, all.X.Label.Text = "seconds since the roll began", "minutes since the roll began"
			first.X.Tick.Marker, all.X.Tick.Marker = every(10), every(2)
			bottom -= foot
		} else {
			first.HideX()
			all.HideX()
		}
		c.FillText(style, vg.Point{X: left, Y: top - margin/2}, r.strategy)
		c.FillText(style, vg.Point{X: right, Y: top - margin/2}, fmt.Sprintf("at most %s, took %s", thousands(r.peak), minutes(r.took)))
		first.Draw(within(c, left, top-title, bottom))
		all.Draw(within(c, right, top-title, bottom))
		top = bottom
	}

	var text bytes.Buffer
	if _, err := svg.WriteTo(&text); err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

// within returns the part of a canvas for one panel.
func within(c draw.Canvas, left, top, bottom vg.Length) draw.Canvas {
	c.Min, c.Max = vg.Point{X: left, Y: bottom}, vg.Point{X: left + column, Y: top}
	return c
}

// until returns where the time axis of the second column ends. Rolls that take longer are cut off,
// since they would leave little room for the others.
func (s *scenario) until() time.Duration { return s.rows[phoenix].took * 3 / 2 }

// panel returns a plot of a roll, with a count for each step up to end.
func (r row) panel(counts []int, step, end float64) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.X.Min, p.X.Max = 0, end
	p.Y.Min, p.Y.Max = 1, 200_000
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = decades{}
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Tick.Label.Font.Variant, a.Tick.Label.Font.Size = "Sans", 8
		a.Label.TextStyle.Font.Variant, a.Label.TextStyle.Font.Size = "Sans", 9
		a.Padding = 2
	}
	outline := plotter.Line{XYs: steps(counts, step, end), StepStyle: plotter.PostStep, FillColor: theirs}
	if strings.HasPrefix(r.strategy, "lastcall") {
		outline.FillColor = ours
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = color.Gray{Y: 0xdd}
	p.Add(grid, &outline)
	return p
}

// steps returns the corners of the counts' outline. A count of zero is drawn as one, where the
// logarithmic axis begins.
func steps(counts []int, step, end float64) (corners plotter.XYs) {
	for k, n := range counts {
		at := float64(k) * step
		if at > end {
			break
		}
		if y := max(1, float64(n)); k == 0 || y != corners[len(corners)-1].Y {
			corners = append(corners, plotter.XY{X: at, Y: y})
		}
	}
	return append(corners, plotter.XY{X: min(end, float64(len(counts))*step), Y: 1})
}

// every is an axis with a tick at each multiple of its value. Ticks near the axis' end have no
// label, which would make this panel narrower than those above.
type every float64

func (e every) Ticks(_, end float64) (ticks []plot.Tick) {
	for at := 0.; at <= end; at += float64(e) {
		tick := plot.Tick{Value: at}
		if at < end*0.97 {
			tick.Label = strconv.FormatFloat(at, 'f', -1, 64)
		}
		ticks = append(ticks, tick)
	}
	return ticks
}

// decades is an axis with a tick at each power of ten and a short label at every other one.
type decades struct{}

func (decades) Ticks(_, most float64) (ticks []plot.Tick) {
	names := map[float64]string{1: "1", 100: "100", 10_000: "10k"}
	for at := 1.; at <= most; at *= 10 {
		ticks = append(ticks, plot.Tick{Value: at, Label: names[at]})
	}
	return ticks
}
