package conf

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Diagnostic is one mistake in a configuration, or one warning: a setting that works
// but is probably not what was meant. It never contains a password.
type Diagnostic struct {
	File    string // as it was given
	Line    int    // from 1
	Column  int    // in characters, from 1
	Table   string // `pool "alpha"`, "proxy", or "" outside of both
	Message string // what is wrong, then what would be right
	Warning bool

	Reads string // the file that holds the mistake, a password's; "" if File does
}

// String returns the diagnostic as one line,
// FILE:LINE:COLUMN: pool "alpha": message, without an end of line.
func (d Diagnostic) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", d.File, d.Line, d.Column)
	if d.Warning {
		b.WriteString("warning: ")
	}
	if d.Table != "" {
		b.WriteString(d.Table + ": ")
	}
	b.WriteString(d.Message)
	return b.String()
}

// Mistakes is the error for a text that is not a valid configuration: everything that
// is wrong with it, in the order of the text, at least one. Use errors.As to get it.
type Mistakes []Diagnostic

// Error returns one line for each mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, d := range m {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// Sort orders diagnostics in place by line and column. Diagnostics of the same place
// keep their order.
func Sort(all []Diagnostic) {
	slices.SortStableFunc(all, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// report collects the mistakes and warnings of one text.
type report struct {
	file  string
	text  string
	yaml  bool  // a nutcracker.yml
	lines []int // offsets of the starts of lines

	mistakes []Diagnostic
	warnings []Diagnostic
	places   map[place]int // the lines of what is written
	secrets  []writtenSecret
	files    []string // that passwords are read from

	variables []variable       // of the environment, whose values are not shown
	written   map[*node]string // strings in which variables were replaced
	unset     map[*node]bool   // values with variables that are not set, which has been reported
}

func newReport(file, text string) *report {
	r := &report{file: cmp.Or(file, "configuration"), text: text, lines: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			r.lines = append(r.lines, i+1)
		}
	}
	return r
}

// mistake records a mistake at an offset into the text. The table is "" outside of
// tables.
func (r *report) mistake(offset int, table, message string) {
	r.mistakes = append(r.mistakes, r.diagnostic(offset, table, message))
}

func (r *report) warn(offset int, table, message string) {
	d := r.diagnostic(offset, table, message)
	d.Warning = true
	r.warnings = append(r.warnings, d)
}

func (r *report) diagnostic(offset int, table, message string) Diagnostic {
	offset = min(max(offset, 0), len(r.text))
	line := r.line(offset)
	return Diagnostic{
		File:    r.file,
		Line:    line,
		Column:  1 + utf8.RuneCountInString(r.text[r.lines[line-1]:offset]),
		Table:   table,
		Message: oneLine(withoutCredentials(r.withoutVariables(message))),
	}
}

// credentials matches the part of a URL before its host. The password may contain any
// character.
var credentials = regexp.MustCompile(`(?s)://.*@`)

// withoutCredentials removes users and passwords of URLs from a text.
func withoutCredentials(text string) string { return credentials.ReplaceAllString(text, "://...@") }

// oneLine replaces control characters. They come from the user's text, and could end
// the line or control a terminal.
func oneLine(message string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '?'
		}
		return c
	}, message)
}

// line returns the number, from 1, of the line that an offset is in.
func (r *report) line(offset int) int {
	return sort.SearchInts(r.lines, offset+1)
}

// err returns the mistakes in order, nil if there are none.
func (r *report) err() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	Sort(r.mistakes)
	return Mistakes(r.mistakes)
}
