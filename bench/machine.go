package bench

import (
	"bufio"
	"bytes"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Machine is where and with what a report was measured.
type Machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	System  string `json:"system"`
	Go      string `json:"go"`
	Library string `json:"library"` // version of ggml
	Version string `json:"version"` // of ebb
	Commit  string `json:"commit"`  // of ebb, "+" behind it: with changes; "" where the build does not say
	Load    string `json:"load"`    // /proc/loadavg when the run began
}

// readMachine describes this machine and this program.
func readMachine(o Options) Machine {
	m := Machine{
		CPU: runtime.GOARCH, Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Library: o.Library, Version: o.Version, Load: "unknown",
	}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name := cpuName(info); name != "" {
			m.CPU = name
		}
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.TrimSpace(string(load))
	}
	if build, ok := debug.ReadBuildInfo(); ok {
		m.Commit = commit(build.Settings)
	}
	return m
}

// program names this program: by its commit, if the build knows it.
func (m Machine) program() string {
	if m.Commit != "" {
		return m.Commit
	}
	return m.Version
}

// cpuName finds the processor's name in /proc/cpuinfo.
func cpuName(info []byte) string {
	lines := bufio.NewScanner(bytes.NewReader(info))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
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
