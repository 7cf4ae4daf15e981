package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// parsed has the structs of a package by the names of their types, and the first one of each function
// by the function's name.
type parsed map[string]*ast.StructType

// parsePackage parses the package in a folder.
func parsePackage(t *testing.T, folder string) parsed {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s has no files: %v", folder, err)
	}
	p := parsed{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			p.add(d)
		}
	}
	return p
}

func (p parsed) add(d ast.Decl) {
	switch d := d.(type) {
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok {
				if fields, ok := s.Type.(*ast.StructType); ok {
					p[s.Name.Name] = fields
				}
			}
		}
	case *ast.FuncDecl:
		ast.Inspect(d, func(n ast.Node) bool {
			if fields, ok := n.(*ast.StructType); ok && p[d.Name.Name] == nil {
				p[d.Name.Name] = fields
			}
			return true
		})
	}
}

// fields returns the names that a struct reads from JSON, those of structs in it behind a dot.
func (p parsed) fields(t *testing.T, name string) map[string]bool {
	t.Helper()
	if p[name] == nil {
		t.Fatalf("there is no struct %s", name)
	}
	all := map[string]bool{}
	p.collect(p[name], "", all)
	return all
}

func (p parsed) collect(s *ast.StructType, prefix string, all map[string]bool) {
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue // it is embedded
		}
		tag, _ := strconv.Unquote(f.Tag.Value)
		name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		all[prefix+name] = true
		of := f.Type
		if pointer, ok := of.(*ast.StarExpr); ok {
			of = pointer.X
		}
		if list, ok := of.(*ast.ArrayType); ok {
			of = list.Elt
		}
		if named, ok := of.(*ast.Ident); ok && p[named.Name] != nil {
			of = p[named.Name]
		}
		if inner, ok := of.(*ast.StructType); ok {
			p.collect(inner, prefix+name+".", all)
		}
	}
}
