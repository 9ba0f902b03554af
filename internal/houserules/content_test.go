package houserules

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestEveryPackageHasAComment(t *testing.T) {
	type pkg struct{ dir, name string }
	documented := make(map[pkg]bool)
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		p := pkg{s.dir(), s.file.Name.Name}
		doc := s.file.Doc.Text()
		documented[p] = documented[p] || doc != ""
		want := "Package " + p.name + " "
		if p.name == "main" {
			want = "Command "
		}
		if doc != "" && !strings.HasPrefix(doc, want) && !strings.HasPrefix(doc, titled(path.Base(p.dir))+" ") {
			t.Errorf("%s: the package comment begins with %.40q, not with %q", s.path, doc, want)
		}
	}
	for p, ok := range documented {
		if !ok {
			t.Errorf("%s: package %s has no package comment", p.dir, p.name)
		}
	}
}

// titled returns a command's name with a capital letter.
func titled(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// sleepers lists the files outside tests that may sleep, with the reasons.
var sleepers = map[string]string{
	"server/listener.go":              "no descriptors are left, and nothing reports when one is",
	"internal/redistest/redistest.go": "Eventually polls; only tests use it",
}

func TestNothingSleeps(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || sleepers[s.path] != "" || !slices.Contains(s.imports(), "time") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if isCall(n, "time", "Sleep") {
				t.Errorf("%s:%d sleeps: wait for an event, or use a timer that can be stopped", s.path, s.line(n.Pos()))
			}
			return true
		})
	}
}

// Only package main may end the process: deferred calls elsewhere would not run.
func TestOnlyCommandsExit(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || s.file.Name.Name == "main" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if isCall(n, "os", "Exit") || isCall(n, "log", "Fatal") || isCall(n, "log", "Fatalf") {
				t.Errorf("%s:%d ends the process: return an error", s.path, s.line(n.Pos()))
			}
			return true
		})
	}
}

// isCall reports whether n calls pkg.name, where pkg is the import's usual name.
func isCall(n ast.Node, pkg, name string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// Readers look for these files at these paths.
func TestDocumentsExist(t *testing.T) {
	for _, file := range []string{
		"LICENSE", "Makefile", "CONTRIBUTING.md", "docs/architecture.md", "docs/adr/README.md", ".ci/run",
	} {
		if info, err := os.Stat(filepath.Join(root, file)); err != nil {
			t.Error(err)
		} else if info.Size() == 0 {
			t.Errorf("%s is empty", file)
		}
	}
}

func TestMakefileFitsAScreen(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > 66 {
		t.Errorf("the Makefile has %d lines, over 66", lines)
	}
	for _, target := range []string{"build", "test", "race", "fuzz", "bench", "check", "deps", "help"} {
		if !strings.Contains(string(text), "\n"+target+": ## ") {
			t.Errorf("the Makefile has no target %s with its ## help", target)
		}
	}
}

// Errors reach logs and terminals, where the name of a package is of no use.
func TestErrorsDoNotNameTheirPackage(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if text, ok := errorText(n); ok && strings.HasPrefix(text, s.file.Name.Name+": ") {
				t.Errorf("%s:%d: the error %q begins with its package's name", s.path, s.line(n.Pos()), text)
			}
			return true
		})
	}
}

// errorText returns the literal text of a call that makes an error.
func errorText(n ast.Node) (string, bool) {
	if !isCall(n, "errors", "New") && !isCall(n, "fmt", "Errorf") {
		return "", false
	}
	literal, ok := n.(*ast.CallExpr).Args[0].(*ast.BasicLit)
	if !ok {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}
