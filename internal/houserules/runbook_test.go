package houserules

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const runbook = "docs/runbook.md"

var alertName = regexp.MustCompile(`(?m)^ +- alert: (\w+)$`)

// Whoever is called by an alert finds it in the runbook, and nothing there is about an alert
// that does not exist any more.
func TestRunbookHasEveryAlert(t *testing.T) {
	rules, err := os.ReadFile(filepath.Join(root, "examples/alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	alerts := namesIn(alertName, string(rules))
	if len(alerts) == 0 {
		t.Fatal("examples/alerts.yml has no alerts that this test can read")
	}
	headings := namesIn(regexp.MustCompile(`(?m)^### (Ringway\w+)$`), documents(t)[runbook])
	if !slices.Equal(headings, alerts) {
		t.Errorf("%s has the headings\n%q, want those of examples/alerts.yml in their order\n%q", runbook, headings, alerts)
	}
}

func namesIn(pattern *regexp.Regexp, text string) (names []string) {
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

var (
	logRow  = regexp.MustCompile("(?m)^\\| (`[^|]+) \\|[^|]+\\|[^|]+\\|$")
	oneWord = regexp.MustCompile(`^\w+$`)
)

// Each message that the proxy logs as a warning or an error begins as a row of the runbook says,
// and each row is about a message that the code has. Messages that are not written at the call,
// such as those of pool/notices.go, are only seen the other way round.
func TestRunbookHasEveryWarning(t *testing.T) {
	var rows []string
	_, tables, _ := strings.Cut(documents(t)[runbook], "\n## Log lines\n")
	for _, row := range logRow.FindAllStringSubmatch(tables, -1) {
		rows = append(rows, namesIn(inCode, row[1])...)
	}
	code := strings.Builder{}
	for _, s := range sources(t) {
		if s.isTest() || within(s.dir(), "internal") || within(s.dir(), "bench") {
			continue
		}
		code.WriteString(s.text)
		ast.Inspect(s.file, func(n ast.Node) bool {
			message := warning(n)
			told := slices.ContainsFunc(rows, func(row string) bool {
				return message == row || strings.HasPrefix(message, row) && !oneWord.MatchString(row)
			})
			if message != "" && !told {
				t.Errorf("%s: %s has no row for the line %q", s.fset.Position(n.Pos()), runbook, message)
			}
			return true
		})
	}
	for _, row := range rows {
		if !strings.Contains(code.String(), `"`+row) && !strings.Contains(code.String(), "`"+row) {
			t.Errorf("%s has a row for %q, which the code does not log", runbook, row)
		}
	}
}

// warning returns the message of a call that logs a warning or an error, "" for all else and for a
// message that is not written there.
func warning(n ast.Node) string {
	call, ok := n.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return ""
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !slices.Contains([]string{"Warn", "Error"}, f.Sel.Name) && !isListenersWarn(f) {
		return ""
	}
	return beginning(call.Args[0])
}

// isListenersWarn reports whether a call is of warn in server/networks.go. Methods of that name in
// conf collect what a check says, and log nothing.
func isListenersWarn(f *ast.SelectorExpr) bool {
	x, ok := f.X.(*ast.Ident)
	return ok && x.Name == "ln" && f.Sel.Name == "warn"
}

// beginning returns the text that an expression begins with, up to the first verb of a format.
func beginning(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return beginning(e.X)
	case *ast.CallExpr: // fmt.Sprintf
		if len(e.Args) > 0 {
			return beginning(e.Args[0])
		}
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			text, _, _ = strings.Cut(text, "%")
			return text
		}
	}
	return ""
}
