package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"iter"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/seed4d217819/ebb/ggml/llama"
)

// Machine is where and with what a report was measured.
type Machine struct {
	CPU      string   `json:"cpu"`
	Features []string `json:"features"` // of the CPU: those that kernels are chosen by
	Cores    int      `json:"cores"`
	Memory   int64    `json:"memory_bytes"`
	Device   string   `json:"device"` // that computes
	System   string   `json:"system"`
	Go       string   `json:"go"`
	Library  string   `json:"library"`  // version of ggml
	Llama    string   `json:"libllama"` // version of it
	Version  string   `json:"version"`  // of ebb
	Commit   string   `json:"commit"`   // of ebb, "+" behind it: with changes; "" where the build does not say
	Load     string   `json:"load"`     // /proc/loadavg when the run began
}

// readMachine describes this machine and this program.
func readMachine(o Options) Machine {
	m := Machine{
		CPU: runtime.GOARCH, Features: []string{}, Cores: runtime.NumCPU(), Device: "cpu", System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Library: o.Library, Llama: "none", Version: o.Version, Load: "unknown",
	}
	if o.Device != "" {
		m.Device = o.Device
	}
	if o.GPULayers > 0 {
		m.Device = fmt.Sprintf("cpu, the last %d layers on a GPU", o.GPULayers)
	}
	if version, err := llama.Version(); err == nil {
		m.Llama = version
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name := cpuName(info); name != "" {
			m.CPU = name
		}
		m.Features = cpuFeatures(info)
	}
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.Memory = totalMemory(info)
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.TrimSpace(string(load))
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		m.Commit = commit(build.Settings)
	}
	return m
}

// String names the machine and the program in a line.
func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, ggml %s, ebb %s", m.CPU, m.Cores, m.Device, m.Library, m.program())
}

// program names this program: by its commit, if the build knows it.
func (m Machine) program() string {
	if m.Commit != "" {
		return m.Commit
	}
	return m.Version
}

// pairs goes through the lines "key: value" of a file of /proc.
func pairs(text []byte) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), ":")
			if !yield(strings.TrimSpace(key), strings.TrimSpace(value)) {
				return
			}
		}
	}
}

// cpuName finds the processor's name in /proc/cpuinfo.
func cpuName(info []byte) string {
	for key, value := range pairs(info) {
		if key == "model name" {
			return value
		}
	}
	return ""
}

// cpuFeatures finds in /proc/cpuinfo what ggml's kernels differ by: of x86
// ("flags") and of arm64 ("Features").
func cpuFeatures(info []byte) []string {
	known := []string{
		"avx", "avx2", "fma", "f16c", "bmi2", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
		"asimd", "fphp", "asimddp", "i8mm", "bf16", "sve",
	}
	features := []string{}
	for key, value := range pairs(info) {
		if key != "flags" && key != "Features" {
			continue
		}
		has := strings.Fields(value)
		for _, name := range known {
			if slices.Contains(has, name) {
				features = append(features, name)
			}
		}
		break // the other cores are alike
	}
	return features
}

// totalMemory finds the bytes of memory in /proc/meminfo.
func totalMemory(info []byte) int64 {
	for key, value := range pairs(info) {
		if key == "MemTotal" {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// commit finds the revision among a build's settings.
func commit(settings []debug.BuildSetting) string {
	revision, changes := "", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			changes = "+"
		}
	}
	return revision + changes
}
