package deps

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write deps.txt anew")

// platforms are those that ebb is built for: the list holds what any of them links.
var platforms = []string{"linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"}

func TestDepsFileListsTheModulesOfTheBinary(t *testing.T) {
	modules, err := binaryModules()
	if err != nil {
		t.Fatal(err)
	}
	want := "# The modules in the ebb binary, on any platform. Written by `make deps`; a new line is a decision, made in review.\n" +
		strings.Join(modules, "\n") + "\n"

	name := filepath.Join(root, "deps.txt")
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v\nwrite it: go test ./internal/deps -run TestDepsFile -update", err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("deps.txt does not list what the binary links (-deps.txt +binary):\n%s\n"+
			"If that is meant: go test ./internal/deps -run TestDepsFile -update", diff)
	}
}

// binaryModules returns the modules that cmd/ebb links, "path version", sorted, without this one.
func binaryModules() ([]string, error) {
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}`
	var modules []string
	for _, platform := range platforms {
		goos, goarch, _ := strings.Cut(platform, "/")
		list := exec.Command("go", "list", "-deps", "-f", format, "./cmd/ebb")
		list.Dir = root
		list.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
		var stderr strings.Builder
		list.Stderr = &stderr
		out, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("go list for %s: %w\n%s", platform, err, stderr.String())
		}
		for line := range strings.Lines(string(out)) {
			if module := strings.TrimSpace(line); module != "" {
				modules = append(modules, module)
			}
		}
	}
	slices.Sort(modules)
	return slices.Compact(modules), nil
}
