package main

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What the picture is like, in pixels at its own size, at which a README shows it nearly.
const (
	charWidth  = 7.8
	fontSize   = 13
	lineHeight = 17
	visible    = 16 // rows of a terminal
	padding    = 10
	barHeight  = 30
	gap        = 8
	footHeight = 26
	width      = columns*charWidth + 2*padding + 2*gap
	termHeight = barHeight + visible*lineHeight + padding
	holdFor    = 6 * time.Second // the end, before the picture begins anew; at the speed of 1
)

// A picture is terminals one above the other, all of which begin at the same moment.
type picture struct {
	terminals []terminal
	speed     float64

	styles strings.Builder
	steps  map[string]string // classes by their keyframes
}

// total is how long the picture goes before it begins anew, in the time of the runs.
func (p *picture) total() time.Duration {
	var end time.Duration
	for _, t := range p.terminals {
		end = max(end, t.end)
	}
	return end + time.Duration(float64(holdFor)*p.speed)
}

func (p *picture) svg() []byte {
	p.steps = map[string]string{}
	var body strings.Builder
	y := float64(gap)
	for _, t := range p.terminals {
		p.draw(&body, t, y)
		y += termHeight + gap
	}
	pace := "in real time"
	if p.speed != 1 {
		pace = fmt.Sprintf("%g times as fast as they were", p.speed)
	}
	foot := "Two real runs, " + pace + ". Each server has 200 clients when it is told to stop."
	height := y + footHeight - gap/2

	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.1f %.1f" width="%.1f" height="%.1f" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&out, "<title>%s</title>\n", html.EscapeString("The same server is stopped with lastcall and with net/http alone"))
	fmt.Fprintf(&out, "<desc>%s</desc>\n", html.EscapeString(p.description()))
	fmt.Fprintf(&out, `<style>
text { font: %dpx ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace; fill: #c9d1d9; white-space: pre; }
.bold { fill: #f0f6fc; font-weight: 600 } .dim { fill: #7d8590 } .good { fill: #56d364 } .bad { fill: #ff7b72 } .warn { fill: #e3b341 }
.s { animation: %.3gs step-end infinite }
%s@media (prefers-reduced-motion: reduce) { .s { animation: none } }
</style>
`, fontSize, p.total().Seconds()/p.speed, p.styles.String())
	fmt.Fprintf(&out, `<rect x=".5" y=".5" width="%.1f" height="%.1f" rx="10" fill="#010409" stroke="#30363d"/>`+"\n", width-1, height-1)
	out.WriteString(body.String())
	fmt.Fprintf(&out, `<text x="%d" y="%.1f" class="dim">%s</text>`+"\n</svg>\n", gap+padding, y+12, html.EscapeString(foot))
	return []byte(out.String())
}

// description is the picture in words: what each run showed at its end.
func (p *picture) description() string {
	var words []string
	for _, t := range p.terminals {
		words = append(words, t.title+":")
		for _, r := range t.rows {
			words = append(words, r[len(r)-1].text)
		}
	}
	return strings.Join(words, "\n")
}

func (p *picture) draw(body *strings.Builder, t terminal, y float64) {
	w := width - 2*gap
	fmt.Fprintf(body, `<rect x="%d" y="%.1f" width="%.1f" height="%d" rx="6" fill="#0d1117" stroke="#30363d"/>`+"\n", gap, y, w, termHeight)
	for i, color := range []string{"#ff5f56", "#ffbd2e", "#27c93f"} {
		fmt.Fprintf(body, `<circle cx="%d" cy="%.1f" r="5" fill="%s"/>`+"\n", gap+padding+4+16*i, y+barHeight/2, color)
	}
	fmt.Fprintf(body, `<text x="%d" y="%.1f" class="bold">%s</text>`+"\n", gap+padding+56, y+barHeight/2+4.5, html.EscapeString(t.title))
	p.drawClock(body, t, y)

	// The inner svg clips what scrolls out at the top.
	fmt.Fprintf(body, `<svg x="%d" y="%.1f" width="%.1f" height="%d"><g%s>`+"\n",
		gap+padding, y+barHeight, w-2*padding, visible*lineHeight+4, p.scroll(t))
	for i, r := range t.rows {
		for j, v := range r {
			until := p.total()
			if j+1 < len(r) {
				until = r[j+1].from
			}
			if v.text == "" {
				continue
			}
			fmt.Fprintf(body, `<text y="%d" textLength="%.1f"%s>%s</text>`+"\n",
				(i+1)*lineHeight-4, charWidth*float64(len([]rune(v.text))), p.between(v.from, until), colored(v.text))
		}
	}
	body.WriteString("</g></svg>\n")
}

// drawClock draws, into the title bar, how long the server has been stopping.
func (p *picture) drawClock(body *strings.Builder, t terminal, y float64) {
	show := func(from, until time.Duration, class, text string) {
		fmt.Fprintf(body, `<text x="%.1f" y="%.1f" text-anchor="end"%s><tspan class="%s">%s</tspan></text>`+"\n",
			width-gap-padding, y+barHeight/2+4.5, p.between(from, until), class, text)
	}
	show(0, t.stop, "dim", "clients connect")
	for at := t.stop; at < t.end; at += time.Second {
		show(at, min(at+time.Second, t.end), "warn", fmt.Sprintf("stopping for %d s", int((at-t.stop).Seconds())))
	}
	show(t.end, p.total(), "bold", fmt.Sprintf("ended after %.1f s", (t.end-t.stop).Seconds()))
}

// scroll returns the attributes of a group that moves up when the terminal is full.
func (p *picture) scroll(t terminal) string {
	var frames strings.Builder
	fmt.Fprint(&frames, "0%{transform:none}")
	last := 0
	for i, r := range t.rows {
		if up := (i + 1 - visible) * lineHeight; up > 0 {
			fmt.Fprintf(&frames, "%s{transform:translateY(%dpx)}", p.percent(r[0].from), -up)
			last = up
		}
	}
	if last == 0 {
		return ""
	}
	return fmt.Sprintf(`%s style="transform:translateY(%dpx)"`, p.animated(frames.String()), -last)
}

// between returns the attributes of what is seen from one moment until another.
func (p *picture) between(from, until time.Duration) string {
	end := until >= p.total()
	if from == 0 && end {
		return ""
	}
	frames := "0%{visibility:hidden}" + p.percent(from) + "{visibility:visible}"
	if from == 0 {
		frames = "0%{visibility:visible}"
	}
	rest := "" // where nothing moves
	if !end {
		frames += p.percent(until) + "{visibility:hidden}"
		rest = ` style="visibility:hidden"`
	}
	return p.animated(frames) + rest
}

// animated returns the class of what has these keyframes.
func (p *picture) animated(frames string) string {
	name, ok := p.steps[frames]
	if !ok {
		name = fmt.Sprintf("k%d", len(p.steps))
		p.steps[frames] = name
		fmt.Fprintf(&p.styles, ".%s{animation-name:%s}@keyframes %s{%s}\n", name, name, name, frames)
	}
	return fmt.Sprintf(` class="s %s"`, name)
}

func (p *picture) percent(at time.Duration) string {
	return fmt.Sprintf("%.3f%%", 100*at.Seconds()/p.total().Seconds())
}

// colors gives parts of lines a color.
var colors = []struct {
	part  *regexp.Regexp
	class string
}{
	{regexp.MustCompile(`^\$ .*|^WHAT THE .*`), "bold"},
	{regexp.MustCompile(`^time=\S+`), "dim"},
	{regexp.MustCompile(`^cut +[1-9].*|1006, no close frame|no last event, cut off.*|^live: \d+ of .* cut$`), "bad"},
	{regexp.MustCompile(`close 1012 "[^"]*"|event "\w+", clean end|\d+ bytes, clean end|^live: nothing was cut.*`), "good"},
	{regexp.MustCompile(`[█░]+`), "good"},
	{regexp.MustCompile(`not_for="[^"]*"`), "warn"},
}

// colored returns text as XML, with tspans around the parts that have a color.
func colored(text string) string {
	type span struct {
		from, to int
		class    string
	}
	var spans []span
	for _, c := range colors {
		for _, at := range c.part.FindAllStringIndex(text, -1) {
			spans = append(spans, span{at[0], at[1], c.class})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	var out strings.Builder
	done := 0
	for _, s := range spans {
		if s.from < done {
			continue
		}
		out.WriteString(html.EscapeString(text[done:s.from]))
		fmt.Fprintf(&out, `<tspan class="%s">%s</tspan>`, s.class, html.EscapeString(text[s.from:s.to]))
		done = s.to
	}
	out.WriteString(html.EscapeString(text[done:]))
	return out.String()
}
