package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// topView is one of top's tables.
type topView struct {
	name    string
	table   string // of the console
	columns []topColumn
	naming  int    // that many columns, the first ones, tell rows apart
	sort    int    // the column to sort by until the user chooses another
	latency string // the console's column that the bars show; "" for no bars
}

// topColumn is a column: of the console's table, or a field of the lines of CLIENT LIST.
type topColumn struct {
	title, from string
	format      func(v any) string
	ascending   bool // the smallest first
}

var topViews = [...]topView{
	{"servers", "SERVERS", []topColumn{
		text("pool", "pool"), text("server", "server"), text("role", "role"), text("state", "up"), number("req/s", "requests/s"), latency("p50", "p50 now"), latency("p99", "p99 now"),
		number("queue", "queue"), number("conns", "connections"), number("errors", "errors"), number("timeouts", "timeouts"), passed("since", "since"), text("why", "why"),
	}, 2, 4, "p99 now"},
	{"commands", "COMMANDS", []topColumn{
		text("pool", "pool"), text("command", "command"), number("calls/s", "calls/s"), latency("p50", "p50 now"), latency("p99", "p99 now"), number("calls", "calls"), number("errors", "errors"),
	}, 2, 2, "p99 now"},
	{"clients", "CLIENTS", []topColumn{
		text("pool", "pool"), field("id"), text("addr", "addr"), text("name", "name"), text("user", "user"), text("command", "cmd"), text("flags", "flags"), field("db"), passed("age", "age"), passed("idle", "idle"), size("memory", "tot-mem"),
	}, 2, 10, ""},
	{"hot keys", "HOTKEYS", []topColumn{
		text("pool", "pool"), text("key", "key"), number("req/s", "requests/s"), number("+-", "+-"), size("bytes/s", "bytes/s"), size("+-", "+-bytes"),
	}, 2, 2, ""},
	{"pools", "POOLS", []topColumn{
		text("pool", "pool"), text("listen", "listen"), number("clients", "clients"), number("req/s", "requests/s"), number("errors/s", "errors/s"), size("in/s", "in/s"), size("out/s", "out/s"), latency("p50", "p50"), latency("p99", "p99"), number("requests", "requests"), number("errors", "errors"),
	}, 1, 3, "p99"},
}

func text(title, from string) topColumn    { return topColumn{title, from, plain, true} }
func number(title, from string) topColumn  { return topColumn{title, from, withUnit(""), false} }
func size(title, from string) topColumn    { return topColumn{title, from, withUnit("B"), false} }
func latency(title, from string) topColumn { return topColumn{title, from, milliseconds, false} }
func passed(title, from string) topColumn  { return topColumn{title, from, elapsed, false} }
func field(name string) topColumn          { return topColumn{name, name, plain, true} }

// plain shows a value as it is, without what a terminal would obey.
func plain(v any) string {
	if v == nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, fmt.Sprint(v))
}

// withUnit returns what shows a number with three digits.
func withUnit(unit string) func(v any) string {
	return func(v any) string {
		f, ok := float(v)
		if !ok {
			return plain(v)
		}
		for _, prefix := range []string{"", "k", "M", "G"} {
			if f < 1000 {
				return fmt.Sprintf("%.3g", f) + prefix + unit
			}
			f /= 1000
		}
		return fmt.Sprintf("%.3gT", f) + unit
	}
}

// milliseconds shows seconds in milliseconds, as all latencies of top.
func milliseconds(v any) string {
	f, ok := float(v)
	if !ok || f == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2fms", f*1e3)
}

// elapsed shows seconds in the units that fit.
func elapsed(v any) string {
	f, ok := float(v)
	if !ok {
		return plain(v)
	}
	return time.Duration(f * float64(time.Second)).Round(time.Second).String()
}

// float returns the number in a cell, if there is one.
func float(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// rowsOf returns the rows of a view. Those of CLIENTS are made of the fields of its lines.
func (v *topView) rowsOf(rows []map[string]any) []map[string]any {
	if v.table != "CLIENTS" {
		return slices.Clone(rows)
	}
	var clients []map[string]any
	for _, row := range rows {
		clients = append(clients, clientRow(fmt.Sprint(row["client"])))
	}
	return clients
}

// clientRow splits a line of CLIENT LIST, with the pool before it.
func clientRow(line string) map[string]any {
	row := map[string]any{}
	for _, word := range strings.Fields(line) {
		name, value, _ := strings.Cut(word, "=")
		var n float64
		if _, err := fmt.Sscanf(value+"\n", "%f\n", &n); err == nil {
			row[name] = n
		} else {
			row[name] = value
		}
	}
	return row
}

// sorted returns the rows in the order that the user has chosen, and the index of the column.
func (v *topView) sorted(rows []map[string]any, by topSort) (sorted []map[string]any, column int) {
	column = (v.sort + by.moved) % len(v.columns)
	c := &v.columns[column]
	sorted = v.rowsOf(rows)
	slices.SortStableFunc(sorted, func(a, b map[string]any) int {
		order := compareCells(a[c.from], b[c.from])
		if c.ascending == by.reversed {
			order = -order
		}
		if order == 0 {
			order = cmp.Compare(v.id(a), v.id(b)) // rows stay where they are from look to look
		}
		return order
	})
	return sorted, column
}

// compareCells orders numbers before text.
func compareCells(a, b any) int {
	x, isX := float(a)
	y, isY := float(b)
	switch {
	case isX && isY:
		return cmp.Compare(x, y)
	case isX:
		return 1
	case isY:
		return -1
	}
	return strings.Compare(plain(a), plain(b))
}
