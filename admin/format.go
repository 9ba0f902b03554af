package admin

import (
	"fmt"
	"strings"
	"time"
)

// What tables have in their cells: String is for people, and programs get the number (appendValue).

// lines returns a table as aligned lines, the columns' names first.
func lines(columns []string, rows [][]any) []string {
	width := make([]int, len(columns))
	cells := [][]string{nil}
	for i, name := range columns {
		cells[0] = append(cells[0], strings.ToUpper(name))
		width[i] = len(name)
	}
	for _, row := range rows {
		var texts []string
		for i, v := range row {
			text := strings.Map(printableRune, fmt.Sprint(v))
			texts, width[i] = append(texts, text), max(width[i], len(text))
		}
		cells = append(cells, texts)
	}
	var out []string
	for _, row := range cells {
		var line strings.Builder
		for i, text := range row {
			fmt.Fprintf(&line, "%-*s  ", width[i], text)
		}
		out = append(out, strings.TrimRight(line.String(), " "))
	}
	return out
}

// rate is a number of things a second.
type rate float64

// String returns it with three digits.
func (r rate) String() string { return short(float64(r)) }

// byteRate is a number of bytes a second.
type byteRate float64

// String returns it with three digits and a unit.
func (b byteRate) String() string { return short(float64(b)) + "B" }

func short(v float64) string {
	for _, unit := range []string{"", "k", "M", "G"} {
		if v < 1000 {
			return fmt.Sprintf("%.3g%s", v, unit)
		}
		v /= 1000
	}
	return fmt.Sprintf("%.3gT", v)
}

// duration is a time in seconds.
type duration float64

// String returns it in the unit that fits.
func (d duration) String() string {
	switch {
	case d == 0:
		return "0"
	case d < 1e-3:
		return fmt.Sprintf("%.0fus", float64(d)*1e6)
	case d < 1:
		return fmt.Sprintf("%.3gms", float64(d)*1e3)
	}
	return fmt.Sprintf("%.3gs", float64(d))
}

func seconds(d time.Duration) duration { return duration(d.Seconds()) }

// age is how long ago something was, in seconds; negative if it never was.
type age float64

// since returns the age of what happened at t.
func since(t time.Time) age {
	if t.IsZero() {
		return -1
	}
	return age(max(0, time.Since(t).Seconds()))
}

// String returns it in whole seconds, or nothing.
func (a age) String() string {
	if a < 0 {
		return ""
	}
	return time.Duration(float64(a) * float64(time.Second)).Round(time.Second).String()
}

// ratio is a part of a whole, 0 to 1.
type ratio float64

// String returns it in percent.
func (r ratio) String() string { return fmt.Sprintf("%.1f%%", 100*float64(r)) }
