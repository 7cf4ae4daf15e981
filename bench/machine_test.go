package bench

import (
	"runtime/debug"
	"testing"
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
