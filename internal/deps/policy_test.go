package deps

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	module = "github.com/seed4d217819/ebb"
	root   = "../.." // of the module, from this package
)

// policy says, for each package, which packages of this module and of the module bench its code may import. Paths are
// relative to this module; "." is its root. "*" allows all.
var policy = map[string][]string{
	"ggml":       {"internal/dl", "internal/memory"},
	"ggml/llama": {"internal/libllama"},
	"gguf":       {},
	"hub":        {"gguf", "internal/filelock"},
	"doctor":     {"internal/bytesize", "plan"},

	"tokenizer": {"ggml/llama", "gguf"},
	"chat":      {"chat/jinja", "grammar", "grammar/jsonschema"},

	"chat/jinja": {},

	"isa":     {},
	"attend":  {"ggml", "isa"},
	"product": {"ggml", "isa"},
	"model":   {"ggml", "gguf", "internal/bytesize", "product"},

	"model/llama":         {"ggml", "model"},
	"model/qwen2":         {"ggml", "model"},
	"model/qwen3":         {"ggml", "model"},
	"model/qwen2moe":      {"ggml", "model"},
	"model/qwen3moe":      {"ggml", "model"},
	"model/granitehybrid": {"ggml", "model"},
	"model/nemotronh":     {"ggml", "model"},
	"model/lfm2":          {"ggml", "model"},
	"model/qwen35":        {"ggml", "model"},
	"model/qwen35moe":     {"ggml", "model"},
	"model/qwen3next":     {"ggml", "model"},
	"model/gemma3":        {"ggml", "model"},
	"model/gemma4":        {"ggml", "model"},
	"model/gptoss":        {"ggml", "model"},
	"model/glm4":          {"ggml", "model"},
	"model/glm4moe":       {"ggml", "model"},
	"model/granite":       {"ggml", "model"},
	"model/mistral3":      {"ggml", "model"},
	"model/phi3":          {"ggml", "model"},
	"model/smollm3":       {"ggml", "model"},

	"trace": {},

	"tier":          {},
	"tier/host":     {"tier"},
	"tier/disk":     {"internal/bytesize", "internal/directio", "tier"},
	"tier/stack":    {"internal/bytesize", "tier"},
	"session":       {"internal/directio", "internal/filelock", "tier"},
	"tier/tiertest": {"tier"},
	"blockfile":     {"internal/bytesize", "internal/directio", "internal/filelock", "session", "tier"},
	"kv":            {"ggml", "internal/bytesize", "internal/timing", "plan", "tier", "trace"},

	"plan":                         {"internal/bytesize"},
	"sample":                       {},
	"grammar":                      {"grammar/internal/charset", "sample"},
	"generate":                     {"sample"},
	"grammar/jsonschema":           {"grammar", "grammar/internal/charset"},
	"grammar/internal/charset":     {},
	"grammar/internal/grammartest": {},
	"grammar/internal/oracle":      {"internal/libllama"},
	"generation":                   {"generate", "grammar", "internal/textfile", "sample"},

	".": {
		"ggml", "ggml/llama", "gguf", "tokenizer", "chat", "model", "model/llama", "model/qwen2", "model/qwen3",
		"model/qwen2moe", "model/qwen3moe", "model/qwen3next", "model/qwen35", "model/qwen35moe", "model/gemma3", "model/gemma4", "model/gptoss", "model/glm4", "model/glm4moe", "model/lfm2", "model/granite", "model/granitehybrid", "model/nemotronh", "model/mistral3",
		"model/phi3", "model/smollm3", "attend", "isa", "product",
		"tier", "tier/disk", "tier/host", "tier/stack", "kv", "plan", "sample", "grammar", "generate", "generation", "trace",
		"session", "doctor", "internal/devicemap", "internal/exec", "internal/memory", "internal/threads",
	},

	"conversation":        {".", "blockfile", "doctor", "internal/recordfile", "kv", "session"},
	"service":             {".", "chat", "conversation", "generate", "grammar", "grammar/jsonschema", "tokenizer"},
	"service/servicetest": {".", "gguf", "internal/testmodel", "service", "tokenizer"},

	"server":         {".", "conversation", "server/anthropic", "server/metrics", "server/ollama", "server/openai", "server/page", "server/responses", "server/wire", "service"},
	"server/ollama":  {".", "chat", "generate", "generation", "server/wire", "service", "tokenizer"},
	"server/metrics": {".", "service"},
	"server/wire":    {"service"},

	"server/openai":    {".", "chat", "generate", "generation", "sample", "server/wire", "service", "tokenizer"},
	"server/anthropic": {".", "chat", "generate", "server/wire", "service", "tokenizer"},
	"server/responses": {".", "chat", "generate", "internal/recordfile", "server/openai", "server/wire", "service"},

	"server/page": {},

	"cmd/ebb": {"*"},

	// These are in the module bench, which the others cannot import.
	"bench":           {".", "attend", "bench/families", "bench/llamacpp", "bench/roof", "chat", "generate", "ggml", "isa", "internal/measure", "kv", "product", "sample", "server", "service", "tokenizer", "trace"},
	"bench/cmd/bench": {"attend", "bench", "bench/families", "bench/plot", "gguf", "internal/measure", "isa"},
	"bench/gpucheck":  {"bench", "ggml", "internal/measure", "kv"},

	"bench/cmd/limited": {".", "bench/llamacpp", "doctor", "ggml/llama", "gguf", "internal/bytesize", "internal/measure", "kv"},

	"bench/families": {"ggml", "gguf", "internal/testmodel"},
	"bench/llamacpp": {"internal/libllama"},
	"bench/plot":     {"internal/measure"},
	"bench/roof":     {"isa"},

	"internal/exec":       {"attend", "ggml", "isa", "product", "internal/bytesize", "internal/devicemap", "internal/memory", "internal/threads", "internal/timing", "kv", "model", "plan", "trace"},
	"internal/threads":    {"internal/cputime"},
	"internal/devicemap":  {"internal/textfile"},
	"internal/bytesize":   {},
	"internal/timing":     {},
	"internal/cputime":    {},
	"internal/directio":   {},
	"internal/dl":         {},
	"internal/deps":       {},
	"internal/libllama":   {"ggml", "internal/dl"},
	"internal/memory":     {},
	"internal/filelock":   {},
	"internal/recordfile": {"internal/directio"},
	"internal/rehearsal":  {".", "ggml", "gguf", "internal/exec", "kv", "model", "plan", "trace"},
	"internal/testmodel":  {"gguf", "ggml"},
	"internal/testreport": {},
	"internal/textfile":   {},

	"internal/measure":             {".", "attend", "doctor", "ggml", "ggml/llama", "gguf", "internal/cputime", "internal/exec", "internal/memory", "internal/rehearsal", "isa", "kv", "model", "plan"},
	"internal/measure/measuretest": {"ggml", "internal/measure", "kv"},
}

// restricted says which packages may import what the others must not.
var restricted = map[string][]string{
	"unsafe":                       {"ggml", "ggml/llama", "attend", "product", "grammar/internal/oracle", "internal/libllama", "bench/llamacpp"},
	"github.com/ebitengine/purego": {"ggml", "ggml/llama", "attend", "product", "internal/dl", "internal/libllama", "internal/memory", "bench/llamacpp"},
	"github.com/prometheus/client_golang/prometheus": {"server/metrics"},
	"C": {}, // ebb is built with CGO_ENABLED=0
}

func TestPackagesImportOnlyWhatThePolicyAllows(t *testing.T) {
	imports, err := readImports(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) == 0 {
		t.Fatalf("no Go package under %s", root)
	}
	benchmarks, err := readImports(root + "/bench")
	if err != nil {
		t.Fatal(err)
	}
	if len(benchmarks) == 0 {
		t.Fatalf("no Go package under %s/bench", root)
	}
	for pkg, of := range benchmarks {
		imports[path.Join("bench", pkg)] = of
	}
	for _, fault := range faults(policy, restricted, imports) {
		t.Error(fault)
	}
}

func TestPolicyIsEnforced(t *testing.T) {
	rows := map[string][]string{"kv": {"tier"}, "tier": {}, "cmd": {"*"}, ".": {"kv"}}
	limits := map[string][]string{"unsafe": {"tier"}}
	for _, tt := range []struct {
		name    string
		imports map[string][]string
		want    []string
	}{
		{
			name: "what the rows name",
			imports: map[string][]string{
				".": {"fmt", module + "/kv"}, "kv": {module + "/tier"}, "tier": {"unsafe"}, "cmd": {module},
			},
		},
		{
			name:    "what they do not name",
			imports: map[string][]string{"tier": {module + "/kv"}},
			want:    []string{`package tier imports kv; its row in policy allows none of this module's packages`},
		},
		{
			name:    "the root",
			imports: map[string][]string{"kv": {module}},
			want:    []string{`package kv imports .; its row in policy allows tier`},
		},
		{
			name:    "another module whose path begins like ours",
			imports: map[string][]string{"tier": {module + "x/y"}},
		},
		{
			name:    "no row",
			imports: map[string][]string{"server": {"fmt"}},
			want:    []string{"package server has no row in policy: add one that names what it may import"},
		},
		{
			name:    "unsafe",
			imports: map[string][]string{"kv": {"unsafe"}},
			want:    []string{`package kv imports unsafe, which only tier may`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := faults(rows, limits, tt.imports)
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("faults (-got +want):\n%s", diff)
			}
		})
	}
}

// faults returns what in imports, by package, the rows and limits forbid.
func faults(rows, limits, imports map[string][]string) []string {
	var found []string
	for _, pkg := range slices.Sorted(maps.Keys(imports)) {
		allowed, ok := rows[pkg]
		if !ok {
			found = append(found, fmt.Sprintf("package %s has no row in policy: add one that names what it may import", pkg))
			continue
		}
		for _, imported := range imports[pkg] {
			if only, limited := limits[imported]; limited && !slices.Contains(only, pkg) {
				found = append(found, fmt.Sprintf("package %s imports %s, which only %s may", pkg, imported, list(only, "none")))
			}
			ours, ok := relative(imported)
			if ok && !slices.Contains(allowed, ours) && !slices.Contains(allowed, "*") {
				found = append(found, fmt.Sprintf("package %s imports %s; its row in policy allows %s",
					pkg, ours, list(allowed, "none of this module's packages")))
			}
		}
	}
	return found
}

func list(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}

// relative returns an import path relative to the module, and whether it is in the module.
func relative(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// readImports returns the imports of every package of the module in the folder, sorted, by path relative to the
// module. It reads all files but tests, those for other platforms too, which go list would leave out.
func readImports(dir string) (map[string][]string, error) {
	imports := map[string][]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			return skipFolder(rel, name)
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(rel)
		of := imports[pkg] // with no import at all the package still needs its row
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
			}
			of = append(of, imported)
		}
		slices.Sort(of)
		imports[pkg] = slices.Compact(of)
		return nil
	})
	return imports, err
}

// skipFolder returns fs.SkipDir for a folder that ./... leaves out: hidden, test data, or another module.
func skipFolder(rel, name string) error {
	if rel == "." {
		return nil
	}
	base := path.Base(rel)
	if base[0] == '.' || base[0] == '_' || base == "testdata" {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}
