package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb"
)

func TestSnapshotFlags(t *testing.T) {
	for _, tt := range []struct {
		every, memory string
		wantEvery     int
		wantBytes     int64
		fault         string
	}{
		{"1000", "2GiB", 1000, 2 << 30, ""},
		{"0", "0", ebb.NoSnapshots, ebb.NoSnapshots, ""},
		{"-1", "1", 0, 0, "want a number of tokens, or 0 for none"},
		{"many", "1", 0, 0, "want a number of tokens, or 0 for none"},
		{"1", "much", 0, 0, "want bytes"},
	} {
		var o ebb.Options
		flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
		registerSnapshots(flags, &o)
		err := flags.Parse([]string{"--snapshot-every", tt.every, "--snapshot-memory", tt.memory})
		if tt.fault != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("%s, %s: %v; want %q", tt.every, tt.memory, err, tt.fault)
			}
			continue
		}
		if err != nil || o.SnapshotEvery != tt.wantEvery || o.SnapshotBytes != tt.wantBytes {
			t.Errorf("%s, %s: %d tokens, %d bytes, %v", tt.every, tt.memory, o.SnapshotEvery, o.SnapshotBytes, err)
		}
	}
}
