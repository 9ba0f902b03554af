package main

import (
	"fmt"
	"math"
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

const (
	topFrame = 4  // lines that are not rows
	topBars  = 30 // bars of a row: a minute
)

// Styles, as a terminal wants them. Bubble Tea leaves out what the terminal can't do, or NO_COLOR forbids.
const (
	styleOff     = "\x1b[m"
	styleBold    = "\x1b[1m"
	styleFaint   = "\x1b[2m"
	styleReverse = "\x1b[7m"
	styleRed     = "\x1b[31m"
)

// View implements tea.Model.
func (m *topModel) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen, v.WindowTitle = true, "ringway top "+m.addr
	return v
}

// screen returns the lines of the screen.
func (m *topModel) screen() []string {
	view := &topViews[m.view]
	rows, by := view.sorted(m.shown.rows[m.view], m.sorted[m.view])
	table := m.table(view, rows, by)
	room := max(1, m.height-topFrame)
	m.scroll = max(0, min(m.scroll, len(rows)-room))
	lines := []string{m.headline(), m.tabs(), styleReverse + pad(table[0], m.width) + styleOff}
	last := min(len(rows), m.scroll+room)
	for i := m.scroll; i < last; i++ {
		line := table[i+1]
		if state, _ := rows[i]["up"].(string); view.table == "SERVERS" && state == "down" {
			line = styleRed + line + styleOff
		}
		lines = append(lines, line)
	}
	for len(lines) < room+topFrame-1 {
		lines = append(lines, "")
	}
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], m.width, "")
	}
	return append(lines, ansi.Truncate(m.footer(m.scroll, last, len(rows)), m.width, ""))
}

// headline says what process this is, and how busy.
func (m *topModel) headline() string {
	var busy []string
	for _, l := range m.shown.loops {
		share, _ := float(l["busy"])
		busy = append(busy, fmt.Sprintf("%.0f%%", 100*share))
	}
	p := m.shown.process
	return fmt.Sprintf("%sringway %s%s  up %s, clients %s of %s, loops busy %s", styleBold, plain(p["version"]), styleOff, elapsed(p["up"]), plain(p["clients"]), plain(p["max_clients"]), strings.Join(busy, " "))
}

// tabs names the views.
func (m *topModel) tabs() string {
	var b strings.Builder
	for i := range topViews {
		style := styleFaint
		if i == m.view {
			style = styleBold
		}
		fmt.Fprintf(&b, "%s%d %s%s   ", style, i+1, topViews[i].name, styleOff)
	}
	return b.String()
}

// footer says what is the matter, or what the keys are.
func (m *topModel) footer(first, last, all int) string {
	switch {
	case m.err != nil:
		return styleRed + "no figures: " + plain(m.err.Error()) + "; trying again" + styleOff
	case m.paused:
		return styleReverse + "paused" + styleOff + styleFaint + "  space: go on  q: quit" + styleOff
	}
	where := ""
	if all > last-first {
		where = fmt.Sprintf("%d to %d of %d  ", first+1, last, all)
	}
	return styleFaint + where + "q: quit  tab: next table  left, right: sort  r: reverse  space: pause" + styleOff
}

// table returns the rows as aligned lines, the titles first. by is the column that it is sorted by.
func (m *topModel) table(view *topView, rows []map[string]any, by int) []string {
	cells := make([][]string, len(rows)+1)
	width := make([]int, len(view.columns))
	add := func(line, column int, cell string) {
		cells[line] = append(cells[line], cell)
		width[column] = max(width[column], ansi.StringWidth(cell))
	}
	for c := range view.columns {
		title := view.columns[c].title
		if c == by {
			title += topArrow(view.columns[c].ascending != m.sorted[m.view].reversed)
		}
		add(0, c, title)
		for r, row := range rows {
			add(r+1, c, ansi.Truncate(view.columns[c].format(row[view.columns[c].from]), maxCell, "…"))
		}
	}
	lines := make([]string, len(cells))
	for i := range cells {
		var b strings.Builder
		for c, cell := range cells[i] {
			if c == len(cells[i])-1 && view.latency != "" {
				b.WriteString(m.barsOf(view, rows, i) + "  ")
			}
			gap := strings.Repeat(" ", width[c]-ansi.StringWidth(cell))
			if view.columns[c].ascending {
				b.WriteString(cell + gap + "  ")
			} else {
				b.WriteString(gap + cell + "  ")
			}
		}
		lines[i] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// maxCell is how wide a cell may be, such as a long key.
const maxCell = 60

func topArrow(ascending bool) string {
	if ascending {
		return "↑"
	}
	return "↓"
}

// barsOf returns the bars of a line of the table, which begins with the titles.
func (m *topModel) barsOf(view *topView, rows []map[string]any, line int) string {
	if line == 0 {
		return pad("p99 of the last minute", topBars)
	}
	return pad(bars(m.latencies[view.id(rows[line-1])]), topBars)
}

// bars returns a bar for each latency, in seconds: the lowest for 0.1 ms and less, each higher one
// for twice as much, so that bars of all rows and times compare. Nothing was measured where there is
// none.
func bars(latencies []float64) string {
	const least = 100e-6
	heights := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, l := range latencies {
		if l <= 0 {
			b.WriteByte(' ')
			continue
		}
		height := int(math.Ceil(math.Log2(l / least)))
		b.WriteRune(heights[max(0, min(height, len(heights)-1))])
	}
	return b.String()
}

// pad fills a text with spaces up to a width.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s)))
}
