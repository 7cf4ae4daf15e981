package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/doctor"
)

// mappedVariable holds the arguments with which TestMappedLibraries runs the command.
const mappedVariable = "EBB_TEST_MAPPED_ARGS"

// TestMappedLibraries is a process of its own for TestDriversOfGPUsAreLoadedOnlyWhereAskedFor: it
// runs the command and prints the libraries that the process has loaded then.
func TestMappedLibraries(t *testing.T) {
	var args []string
	if data, ok := os.LookupEnv(mappedVariable); !ok {
		return // as one of the package's tests
	} else if err := json.Unmarshal([]byte(data), &args); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if status := execute(args, strings.NewReader(""), &stdout, &stderr); status != exitOK {
		t.Fatalf("%v: exit status %d: %s", args, status, stderr.String())
	}
	for _, file := range doctor.LoadedFiles(os.DirFS("/")) {
		t.Log("mapped " + path.Base(file))
	}
}

// mapped returns the names of the libraries that a process has loaded which ran the command.
func mapped(t *testing.T, args ...string) (libraries []string) {
	t.Helper()
	data, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMappedLibraries$", "-test.v")
	cmd.Env = append(os.Environ(), mappedVariable+"="+string(data))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if _, name, ok := strings.Cut(line, ": mapped "); ok {
			libraries = append(libraries, strings.TrimSpace(name))
		}
	}
	return libraries
}

func TestDriversOfGPUsAreLoadedOnlyWhereAskedFor(t *testing.T) {
	needLibraries(t)
	if _, err := fs.Stat(os.DirFS("/"), "proc/self/maps"); err != nil {
		t.Skipf("%s does not say what a process has loaded", runtime.GOOS)
	}
	const model = "../../testdata/models/tiny-gqa.gguf"
	holds := func(libraries []string, part string) bool {
		return slices.ContainsFunc(libraries, func(name string) bool { return strings.Contains(name, part) })
	}
	run := []string{"run", "-m", model, "--prompt-ids", "22", "--max-new-tokens", "2", "--threads", "1", "--quiet"}
	for _, args := range [][]string{run, append(slices.Clone(run), "--device", "CPU"), append(slices.Clone(run), "--attend", "host", "--cache", "offloaded")} {
		libraries := mapped(t, args...)
		if !holds(libraries, "libggml-cpu") {
			t.Errorf("%v: no CPU library among %v", args, libraries)
		}
		for _, part := range []string{"libggml-vulkan", "libggml-cuda", "libvulkan", "LLVM", "libcuda"} {
			if holds(libraries, part) {
				t.Errorf("%v loaded %s", args, part)
			}
		}
	}
	chat, messages := filepath.Join(t.TempDir(), "chat.gguf"), filepath.Join(t.TempDir(), "chat.json")
	if err := errors.Join(writeChatModel(chat), os.WriteFile(messages, []byte(`{"messages": [{"role": "user", "content": "Hi"}]}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"inspect", model},
		{"template", "-m", chat, "--context", messages},
		{"plan", "-m", model, "--machine", "h100"},
		{"cache", "ls", t.TempDir()},
		{"version"},
	} {
		if libraries := mapped(t, args...); holds(libraries, "libggml") || holds(libraries, "libllama") {
			t.Errorf("%v loaded %v", args, libraries)
		}
	}
	if !haveGPU() {
		return
	}
	if libraries := mapped(t, append(slices.Clone(run), "--gpu-layers", "1")...); !holds(libraries, "libggml-vulkan") && !holds(libraries, "libggml-cuda") {
		t.Errorf("--gpu-layers 1 loaded %v", libraries)
	}
}
