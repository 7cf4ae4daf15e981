package measure

import (
	"runtime/debug"
	"testing"
)

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
