package houserules

import (
	"go/ast"
	"path"
	"strings"
	"testing"
)

const (
	maxFileLines     = 700
	maxFunctionLines = 80
)

func TestFilesStayShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || ast.IsGenerated(s.file) {
			continue
		}
		if lines := strings.Count(s.text, "\n"); lines > maxFileLines {
			t.Errorf("%s has %d lines, over %d: split it in two", s.path, lines, maxFileLines)
		}
	}
}

func TestFunctionsFitAScreen(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || ast.IsGenerated(s.file) {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from := s.line(f.Pos())
			if lines := s.line(f.End()) - from + 1; lines > maxFunctionLines {
				t.Errorf("%s:%d: %s has %d lines, over %d", s.path, from, f.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

// The name of a file or a package says what is inside.
func TestNamesSayWhatIsInside(t *testing.T) {
	for _, s := range sources(t) {
		for _, name := range []string{strings.TrimSuffix(path.Base(s.path), ".go"), s.file.Name.Name} {
			for _, empty := range []string{"util", "helper", "common", "misc"} {
				if strings.HasPrefix(name, empty) {
					t.Errorf("%s: the name %q does not say what is inside", s.path, name)
				}
			}
		}
	}
}
