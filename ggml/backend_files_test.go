package ggml

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBackendsOfTheCPUAreToldFromOthers(t *testing.T) {
	for _, tt := range []struct {
		os    string
		files []string
		want  backendFiles
	}{
		{
			"linux",
			[]string{"libggml-base.so", "libggml-cpu-x64.so", "libggml-cpu-zen4.so", "libggml-cuda.so", "libggml-vulkan.so", "libggml.so", "libllama.so", "libggml-vulkan.so.bak"},
			backendFiles{cpus: []string{"libggml-cpu-x64.so", "libggml-cpu-zen4.so"}, others: []string{"libggml-cuda.so", "libggml-vulkan.so"}},
		},
		{"darwin", []string{"libggml-base.dylib", "libggml-cpu.so", "libggml-metal.so"}, backendFiles{anyCPU: "libggml-cpu.so", others: []string{"libggml-metal.so"}}},
		{"windows", []string{"ggml-base.dll", "ggml-cpu-haswell.dll", "ggml-vulkan.dll", "libggml-cpu.so"}, backendFiles{cpus: []string{"ggml-cpu-haswell.dll"}, others: []string{"ggml-vulkan.dll"}}},
		{"linux", nil, backendFiles{}},
	} {
		dir := t.TempDir()
		for _, name := range tt.files {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, list := range [][]string{tt.want.cpus, tt.want.others} {
			for i := range list {
				list[i] = filepath.Join(dir, list[i])
			}
		}
		if tt.want.anyCPU != "" {
			tt.want.anyCPU = filepath.Join(dir, tt.want.anyCPU)
		}
		if diff := cmp.Diff(tt.want, system{os: tt.os}.backendFiles(dir), cmp.AllowUnexported(backendFiles{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.os, diff)
		}
	}
}

func TestFilesThatAreNoLibrariesAreNotTheBestCPU(t *testing.T) {
	file := filepath.Join(t.TempDir(), "libggml-cpu-x64.so")
	if err := os.WriteFile(file, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := (backendFiles{cpus: []string{file, "/nowhere/libggml-cpu-zen4.so"}}).bestCPU(); got != "" {
		t.Errorf("the best is %s", got)
	}
	if got := (backendFiles{cpus: []string{file}, anyCPU: "/one"}).bestCPU(); got != "/one" {
		t.Errorf("the best is %q, want the one for all processors", got)
	}
}

func TestTheCPUIsTheLastDeviceAndEachIsListedOnce(t *testing.T) {
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	cpu, err := l.Device("cpu")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		all := l.Devices()
		if all[len(all)-1] != cpu {
			t.Errorf("the CPU is not the last of %v", all)
		}
		for i, d := range all {
			if slices.Index(all, d) != i || slices.ContainsFunc(all[:i], func(o *Device) bool { return o.name == d.name }) {
				t.Errorf("%s is listed twice", d.name)
			}
		}
	}
}
