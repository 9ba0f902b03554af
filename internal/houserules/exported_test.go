package houserules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"testing"
)

// selfEvident lists methods that mean the same in every type and need no comment.
var selfEvident = []string{"Error", "Unwrap", "String", "Len", "Less", "Swap"}

func TestEverythingExportedHasADocComment(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || ast.IsGenerated(s.file) || s.file.Name.Name == "main" {
			continue
		}
		for _, name := range undocumented(s.file) {
			t.Errorf("%s:%d: %s has no doc comment", s.path, s.line(name.Pos()), name.Name)
		}
	}
}

// undocumented returns the exported names of a file that have no comment. A
// constant or variable may have its comment above, beside, or above its group.
// Fields of structs and methods of interfaces are not checked.
func undocumented(file *ast.File) []*ast.Ident {
	var names []*ast.Ident
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && receiverIsExported(d) && !slices.Contains(selfEvident, d.Name.Name) {
				names = append(names, d.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, undocumentedIn(d, spec)...)
			}
		}
	}
	return names
}

func undocumentedIn(d *ast.GenDecl, spec ast.Spec) []*ast.Ident {
	var names []*ast.Ident
	switch x := spec.(type) {
	case *ast.TypeSpec:
		if d.Doc == nil && x.Doc == nil {
			names = []*ast.Ident{x.Name}
		}
	case *ast.ValueSpec:
		if d.Doc == nil && x.Doc == nil && x.Comment == nil {
			names = x.Names
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(n *ast.Ident) bool { return !n.IsExported() })
}

// receiverIsExported reports whether f is a function, or a method of an exported
// type.
func receiverIsExported(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	receiver := f.Recv.List[0].Type
	for {
		switch x := receiver.(type) {
		case *ast.StarExpr:
			receiver = x.X
		case *ast.IndexExpr:
			receiver = x.X
		case *ast.IndexListExpr:
			receiver = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func TestUndocumented(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"func F() {}", []string{"F"}},
		{"// F does it.\nfunc F() {}", nil},
		{"func f() {}", nil},
		{"type t struct{}\nfunc (t) Run() {}", nil},
		{"// T is it.\ntype T[K any] struct{}\nfunc (*T[K]) Run() {}", []string{"Run"}},
		{"// T is it.\ntype T struct{}\nfunc (T) String() string { return \"\" }", nil},
		{"type T struct{}", []string{"T"}},
		{"const (\n\tA = 1 // A is one.\n\tB = 2\n)", []string{"B"}},
		{"// What went wrong.\nvar (\n\tErrA, ErrB error\n)", nil},
		{"var A, b int", []string{"A"}},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "sample.go", "package sample\n"+c.text, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range undocumented(file) {
			got = append(got, name.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: undocumented %v, want %v", c.text, got, c.want)
		}
	}
}
