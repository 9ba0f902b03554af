package houserules

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// module is this project's import path.
const module = "ringway"

// root is the top of the project, seen from this package.
const root = "../.."

// A source is one Go file of the project.
type source struct {
	path string // from the top, with slashes: "pool/pool.go"
	text string
	file *ast.File
	fset *token.FileSet
}

// dir returns the package's path from the top, such as "internal/redistest".
func (s source) dir() string { return path.Dir(s.path) }

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// imports returns the import paths of the file.
func (s source) imports() []string {
	var paths []string
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic("bug: the parser accepted a bad import path: " + err.Error())
		}
		paths = append(paths, p)
	}
	return paths
}

// line returns the number of the line at pos.
func (s source) line(pos token.Pos) int { return s.fset.Position(pos).Line }

// sources returns every Go file of the project, for all systems and build tags,
// except those in testdata and in directories that the go command ignores. If the
// tree can't be read or parsed, the test fails.
func sources(t *testing.T) []source {
	t.Helper()
	found, err := readTree()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var readTree = sync.OnceValues(func() ([]source, error) {
	var found []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed during the walk, by an editor or a build
		}
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && ignored(d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || ignored(d.Name()):
			return nil
		}
		s, err := readSource(name)
		found = append(found, s)
		return err
	})
	return found, err
})

// ignored reports whether the go command ignores files of this name, or they
// are not part of the project.
func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
		name == "testdata" || name == "vendor" || name == "node_modules"
}

func readSource(name string) (source, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return source{}, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return source{}, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, rel, text, parser.ParseComments)
	return source{path: filepath.ToSlash(rel), text: string(text), file: file, fset: fset}, err
}
