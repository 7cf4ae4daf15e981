package doctor

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADiskIsMeasuredAndNothingStays(t *testing.T) {
	dir := t.TempDir()
	d := MeasureDisk(t.Context(), dir)
	if d.Error != "" || d.Read <= 0 || d.Write <= 0 || d.Free <= 0 {
		t.Errorf("disk %+v, want rates and no error", d)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the folder has %v, %v; want nothing", left, err)
	}
}

func TestADiskThatCannotBeMeasuredSaysWhy(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ dir, want string }{
		{filepath.Join(dir, "none"), "no such file or directory"},
		{file, "not a directory"},
		{"/proc", "are free"},
	} {
		if d := MeasureDisk(t.Context(), test.dir); !strings.Contains(d.Error, test.want) {
			t.Errorf("%s: %+v, want an error with %q", test.dir, d, test.want)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if d := MeasureDisk(cancelled, dir); !strings.Contains(d.Error, "context canceled") {
		t.Errorf("cancelled: %+v, want an error that says so", d)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v; want the file alone", left, err)
	}
}
