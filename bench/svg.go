package bench

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// The plots are SVG without scripts. Each contains its own style, light and dark, so that
// it looks right alone, in the report and in a README. Colour-blind people can
// distinguish the colours, and every bar has its name and its number beside it.
const svgStyle = `<style>
.t{font:12px system-ui,sans-serif;fill:#1f2933}.h{font-weight:600}.m{fill:#616e7c}.g{stroke:#d9dee4}.l{fill:none;stroke-width:2}
.c0{fill:#009e73;stroke:#009e73}.c1{fill:#e69f00;stroke:#e69f00}.c2{fill:#56b4e9;stroke:#56b4e9}.c3{fill:#8d99a6;stroke:#8d99a6}
.c4{fill:#c3cad3;stroke:#c3cad3}.c5{fill:#cc79a7;stroke:#cc79a7}.c6{fill:#0072b2;stroke:#0072b2}.c7{fill:#d55e00;stroke:#d55e00}
.bar{stroke:none}.l{fill:none}.r{stroke:#1f2933;stroke-opacity:.6}
@media (prefers-color-scheme:dark){.t{fill:#e4e7eb}.m{fill:#9aa5b1}.g{stroke:#3a434e}.r{stroke:#e4e7eb}.c4{fill:#5b6673;stroke:#5b6673}}
</style>`

// colour returns the class of a target's colour: the same in every plot.
func colour(targets []*Target, name string) string {
	fixed := map[string]int{nameRingway: 0, nameNutcracker: 1, nameHAProxy: 2, nameDirect: 3, nameNull: 4}
	if c, ok := fixed[name]; ok {
		return fmt.Sprintf("c%d", c)
	}
	others := 0
	for _, t := range targets {
		if t.Name == name {
			break
		}
		if _, ok := fixed[t.Name]; !ok {
			others++
		}
	}
	return fmt.Sprintf("c%d", 5+others%3)
}

// bar is one bar of a plot, with the range that its rounds covered.
type bar struct {
	name, class   string
	value, lo, hi float64
	text          string
}

// barGroup is the bars of one workload. Each group has a scale of its own:
// pipeline 64 would dwarf pipeline 1 otherwise.
type barGroup struct {
	title string
	bars  []bar
}

const (
	plotWidth  = 880
	columnGap  = 40
	nameWidth  = 128
	textWidth  = 64
	barHeight  = 13
	barStep    = 18
	groupTitle = 22
	groupGap   = 18
)

// barsSVG draws groups of bars in two columns.
func barsSVG(title, note string, groups []barGroup) string {
	var b strings.Builder
	columns := [2]int{54, 54}
	const width = (plotWidth - columnGap) / 2
	for i, g := range groups {
		col := i % 2
		x, y := col*(width+columnGap), columns[col]
		fmt.Fprintf(&b, `<text class="t h" x="%d" y="%d">%s</text>`+"\n", x, y+12, html.EscapeString(g.title))
		y += groupTitle
		top := 0.0
		for _, bar := range g.bars {
			top = max(top, bar.value, bar.hi)
		}
		for _, bar := range g.bars {
			drawBar(&b, bar, x, y, (width-nameWidth-textWidth)/max(top, math.SmallestNonzeroFloat64))
			y += barStep
		}
		columns[col] = y + groupGap
		if col == 1 {
			columns[0] = max(columns[0], columns[1])
			columns[1] = columns[0]
		}
	}
	return svgFrame(title, note, max(columns[0], columns[1]), b.String())
}

func drawBar(b *strings.Builder, r bar, x, y int, scale float64) {
	left := x + nameWidth
	length := max(1, r.value*scale)
	fmt.Fprintf(b, `<text class="t" x="%d" y="%d" text-anchor="end">%s</text>`, left-8, y+11, html.EscapeString(r.name))
	fmt.Fprintf(b, `<rect class="%s bar" x="%d" y="%d" width="%.1f" height="%d" rx="2"><title>%s: %s (%s to %s)</title></rect>`,
		r.class, left, y, length, barHeight, html.EscapeString(r.name), r.text, digits(r.lo), digits(r.hi))
	end := length
	if r.hi > r.lo {
		fmt.Fprintf(b, `<path class="r" d="M%.1f %dH%.1f"/>`,
			float64(left)+r.lo*scale, y+barHeight/2, float64(left)+r.hi*scale)
		end = max(end, r.hi*scale)
	}
	fmt.Fprintf(b, `<text class="t m" x="%.1f" y="%d">%s</text>`+"\n", float64(left)+end+6, y+11, r.text)
}

// svgFrame puts a title, a note and the style around a drawing.
func svgFrame(title, note string, height int, body string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">%s
<text class="t h" x="0" y="16" style="font-size:15px">%s</text><text class="t m" x="0" y="36">%s</text>
%s</svg>
`, plotWidth, height, html.EscapeString(title), svgStyle, html.EscapeString(title), html.EscapeString(note), body)
}

// line is one curve of a latency plot.
type line struct {
	name, class string
	points      []Point
}

const (
	curveHeight = 330
	curveLeft   = 62
	curveRight  = plotWidth - 130
	curveTop    = 56
	curveBottom = 290
)

// curveSVG draws latency over percentiles. Both axes are logarithmic, because the tail is
// a thousandth of the requests.
func curveSVG(title, note string, lines []line) string {
	lo, hi := curveRange(lines)
	yOf := func(ms float64) float64 {
		f := (math.Log10(max(ms, lo)) - math.Log10(lo)) / (math.Log10(hi) - math.Log10(lo))
		return curveBottom - f*(curveBottom-curveTop)
	}
	var b strings.Builder
	for v := lo; v <= hi*1.001; v *= 10 {
		fmt.Fprintf(&b, `<path class="g" d="M%d %.1fH%d"/><text class="t m" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			curveLeft, yOf(v), curveRight, curveLeft-6, yOf(v)+4, decade(v))
	}
	for _, p := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		fmt.Fprintf(&b, `<path class="g" d="M%.1f %dV%d"/><text class="t m" x="%.1f" y="%d" text-anchor="middle">%g %%</text>`+"\n",
			curveX(p), curveTop, curveBottom, curveX(p), curveBottom+18, p)
	}
	fmt.Fprintf(&b, `<text class="t m" x="%d" y="%d" text-anchor="middle">max</text>`, curveRight, curveBottom+18)
	var ends []float64
	for _, l := range lines {
		var path strings.Builder
		for i, p := range l.points {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], curveX(p.Percentile), yOf(p.Millis))
		}
		fmt.Fprintf(&b, `<path class="%s l" d="%s"><title>%s</title></path>`+"\n", l.class, path.String(), html.EscapeString(l.name))
		ends = append(ends, yOf(l.points[len(l.points)-1].Millis))
	}
	for i, y := range spread(ends, 15) {
		fmt.Fprintf(&b, `<rect class="%s bar" x="%d" y="%.1f" width="10" height="10" rx="2"/><text class="t" x="%d" y="%.1f">%s</text>`+"\n",
			lines[i].class, curveRight+10, y-5, curveRight+26, y+4, html.EscapeString(lines[i].name))
	}
	return svgFrame(title, note, curveHeight, b.String())
}

// curveX returns the position of a percentile. 100 is where 99.999 would be.
func curveX(p float64) float64 {
	x := 5.0
	if p < 99.999 {
		x = -math.Log10(1 - p/100)
	}
	return curveLeft + x/5*(curveRight-curveLeft)
}

// curveRange returns the powers of ten around all points, in milliseconds.
func curveRange(lines []line) (lo, hi float64) {
	lo, hi = math.Inf(1), 0
	for _, l := range lines {
		for _, p := range l.points {
			lo, hi = min(lo, max(p.Millis, 0.001)), max(hi, p.Millis)
		}
	}
	if hi == 0 {
		return 0.1, 1
	}
	lo, hi = math.Pow(10, math.Floor(math.Log10(lo))), math.Pow(10, math.Ceil(math.Log10(hi)))
	return lo, max(hi, lo*10)
}

// spread moves positions apart to at least step, keeping their order.
func spread(ys []float64, step float64) []float64 {
	order := make([]int, len(ys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if ys[a] < ys[b] {
			return -1
		}
		return 1
	})
	out := slices.Clone(ys)
	for i := 1; i < len(order); i++ {
		out[order[i]] = max(out[order[i]], out[order[i-1]]+step)
	}
	return out
}

// decade returns the label of a power of ten, in milliseconds.
func decade(v float64) string {
	if v >= 1 {
		return fmt.Sprintf("%.0f ms", v)
	}
	return fmt.Sprintf("%.3g ms", v)
}
