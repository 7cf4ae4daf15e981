package bench

import (
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMachineNamesItsProcessor(t *testing.T) {
	const info = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC: 9\n\nprocessor\t: 1\nmodel name\t: other\n"
	if got, want := cpuName([]byte(info)), "AMD EPYC: 9"; got != want {
		t.Errorf("processor %q: want %q", got, want)
	}
	if got := cpuName([]byte("processor\t: 0\n")); got != "" {
		t.Errorf("processor %q: want none", got)
	}
}

func TestMachineNamesWhatKernelsAreChosenBy(t *testing.T) {
	for _, tt := range []struct {
		name, info string
		want       []string
	}{
		{"x86", "flags\t\t: fpu f16c avx2 fma avx512f\n\nflags\t\t: avx\n", []string{"avx2", "fma", "f16c", "avx512f"}},
		{"arm64", "Features\t: fp asimd sve\n", []string{"asimd", "sve"}},
		{"neither", "isa\t: rv64imafdc\n", []string{}},
	} {
		if diff := cmp.Diff(cpuFeatures([]byte(tt.info)), tt.want); diff != "" {
			t.Errorf("%s (-got +want):\n%s", tt.name, diff)
		}
	}
}

func TestMachineKnowsItsMemory(t *testing.T) {
	if got, want := totalMemory([]byte("MemTotal:       24676340 kB\nMemFree: 1 kB\n")), int64(24676340<<10); got != want {
		t.Errorf("memory %d: want %d", got, want)
	}
	if got := totalMemory([]byte("MemTotal: much\n")); got != 0 {
		t.Errorf("memory %d: want 0 where it is unknown", got)
	}
}

func TestCommitSaysWhetherThereAreChanges(t *testing.T) {
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef"}
	for _, tt := range []struct {
		settings []debug.BuildSetting
		want     string
	}{
		{nil, ""},
		{[]debug.BuildSetting{revision, {Key: "vcs.modified", Value: "false"}}, "0123456789ab"},
		{[]debug.BuildSetting{revision, {Key: "vcs.modified", Value: "true"}}, "0123456789ab+"},
	} {
		if got := commit(tt.settings); got != tt.want {
			t.Errorf("commit %q: want %q", got, tt.want)
		}
	}
}
