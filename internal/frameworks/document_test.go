package frameworks

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	document = "../../docs/frameworks.md"
	begin    = "<!-- The table is written by make frameworks: see internal/frameworks. -->\n"
	end      = "<!-- End of the table. -->\n"
)

const header = "| framework | versions | what was tried | directly | one shard | four shards, nothing set | four shards | what to set in the pool |\n|---|---|---|---|---|---|---|---|\n"

// row returns the line of the document's table about one framework.
func row(f framework, o outcome) string {
	of := func(passed int) string { return fmt.Sprintf("%d of %d", passed, o.checks) }
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s |\n", f.name, strings.Join(o.versions, ", "), f.tries, of(o.direct), of(o.one), of(o.defaults), of(o.four), f.toSet())
}

// summary returns the lines below the table.
func summary() string {
	all, core, need, more := 0, 0, []string{}, []string{}
	for _, f := range frameworks {
		lines := len(f.settings) + len(f.cannot)
		switch {
		case lines == 0:
			all++
		case f.worksByDefault():
			core++
		default:
			need = append(need, f.name)
		}
		if lines > 1 {
			more = append(more, f.name)
		}
	}
	return fmt.Sprintf("\n%d of these %d do their work with nothing set: %d pass all checks, and %d all but those that the last column names. The other %d need what it says: %s. Several lines are needed for all checks of %s; all others need one at most.\n",
		all+core, len(frameworks), all, core, len(need), strings.Join(need, ", "), strings.Join(more, ", "))
}

// toSet returns the last column of a framework's row.
func (f framework) toSet() string {
	var parts []string
	for _, s := range f.settings {
		part := "`" + s.line + "`"
		if len(s.checks) > 0 {
			part += fmt.Sprintf(" for %q", s.checks[0])
			for _, check := range s.checks[1:] {
				part += fmt.Sprintf(", %q", check)
			}
		}
		if s.always {
			part += " (also with one shard)"
		}
		parts = append(parts, part)
	}
	if f.worksByDefault() {
		parts = slices.Insert(parts, 0, "nothing")
	}
	for _, check := range slices.Sorted(maps.Keys(f.cannot)) {
		parts = append(parts, "fails: "+check+", "+f.cannot[check])
	}
	return strings.Join(parts, "; ")
}

// compareDocument fails the test if the document says something else about a framework
// than its runs showed. With RINGWAY_UPDATE=1 it changes the document instead.
func compareDocument(t *testing.T, outcomes map[string]outcome) {
	t.Helper()
	before, text, after := cutDocument(t)
	rows := rowsOf(text)
	for _, f := range frameworks {
		o, tried := outcomes[f.name]
		want := row(f, o)
		if !tried || rows[f.name] == want {
			continue
		}
		rows[f.name] = want
		if os.Getenv("RINGWAY_UPDATE") != "1" {
			t.Errorf("docs/frameworks.md has another row for %s; RINGWAY_UPDATE=1 make frameworks writes this one:\n%s", f.name, want)
		}
	}
	if os.Getenv("RINGWAY_UPDATE") != "1" {
		return
	}
	table := header
	for _, f := range frameworks {
		table += rows[f.name]
	}
	if err := os.WriteFile(document, []byte(before+begin+table+summary()+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rowsOf returns the rows of the document's table by the names of the frameworks.
func rowsOf(table string) map[string]string {
	rows := map[string]string{}
	for line := range strings.Lines(table) {
		if cells := cellsOf(line); len(cells) == 8 && cells[0] != "framework" {
			rows[cells[0]] = line
		}
	}
	return rows
}

func cellsOf(line string) []string { return strings.Split(strings.Trim(line, "|\n "), " | ") }

func cutDocument(t *testing.T) (before, table, after string) {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	table, after, ends := strings.Cut(rest, end)
	if !found || !ends {
		t.Fatalf("%s lacks the marks of the table", document)
	}
	return before, table, after
}

// This much can be held without running the programs.
func TestDocumentSaysWhatIsSet(t *testing.T) {
	t.Parallel()
	_, text, _ := cutDocument(t)
	rows := rowsOf(text)
	for _, f := range frameworks {
		cells := cellsOf(rows[f.name])
		if got := cells[len(cells)-1]; got != f.toSet() {
			t.Errorf("docs/frameworks.md says of %s: set %q, and the table of frameworks %q", f.name, got, f.toSet())
		}
		delete(rows, f.name)
	}
	for name := range rows {
		t.Errorf("docs/frameworks.md has a row for %s, the table of frameworks has none", name)
	}
	if !strings.Contains(text, summary()) {
		t.Errorf("docs/frameworks.md does not say: %s", summary())
	}
}

// Every program is run by some row.
func TestEveryProgramIsRun(t *testing.T) {
	t.Parallel()
	for _, f := range frameworks {
		if _, err := os.Stat(filepath.Join("testdata", f.program)); err != nil {
			t.Error(err)
		}
	}
}
