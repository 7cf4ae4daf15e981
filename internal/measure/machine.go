package measure

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/ggml/llama"
)

// Machine is the machine and the program that a report was measured with.
type Machine struct {
	CPU      string   `json:"cpu"`
	Features []string `json:"features"` // instruction sets of the CPU that kernels are chosen by
	Cores    int      `json:"cores"`
	Memory   int64    `json:"memory_bytes"`
	Device   string   `json:"device"` // the one that computes
	System   string   `json:"system"`
	Go       string   `json:"go"`
	Library  string   `json:"library"`  // version of ggml
	Llama    string   `json:"libllama"` // version of libllama
	Version  string   `json:"version"`  // version of ebb
	Commit   string   `json:"commit"`   // of ebb, with "+" if there were changes; "" if the build does not say
	Load     string   `json:"load"`     // /proc/loadavg when the run began
}

// readMachine describes this machine and this program.
func readMachine(o Options) Machine {
	system := doctor.ReadMachine(os.DirFS("/"))
	m := Machine{
		CPU: system.CPU, Features: system.Features, Cores: system.Cores, Memory: system.Total, Device: "cpu", System: runtime.GOOS + "/" + runtime.GOARCH,
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
