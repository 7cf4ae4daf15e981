package ggml

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

func TestLoadGivesOneLibraryToAllGoroutines(t *testing.T) {
	var wg sync.WaitGroup
	got := make([]*Library, 8)
	errs := make([]error, len(got))
	for i := range got {
		wg.Go(func() { got[i], errs[i] = Load() })
	}
	wg.Wait()
	for i := range got {
		if errs[i] != nil || got[i] == nil || got[i] != got[0] {
			t.Fatalf("call %d gave %p, %v; the first gave %p", i, got[i], errs[i], got[0])
		}
	}
	if err := checkVersion(got[0].Version()); err != nil {
		t.Error(err)
	}
	if file := first(got[0].Dir(), []string{"libggml-base*"}); file == "" {
		t.Errorf("no base library in %s, which the library says it is from", got[0].Dir())
	}
}

func TestSearchPathIsEBBGGMLAloneIfSet(t *testing.T) {
	t.Setenv("EBB_GGML", "/some/dir")
	if got := SearchPath(); !slices.Equal(got, []string{"/some/dir"}) {
		t.Errorf("got %q", got)
	}
}

func TestSearchPathIsCacheThenExecutableThenSystem(t *testing.T) {
	t.Setenv("EBB_GGML", "")
	t.Setenv("XDG_CACHE_HOME", "/cache")
	t.Setenv("LD_LIBRARY_PATH", "/first:/second")
	t.Setenv("DYLD_LIBRARY_PATH", "/first:/second")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	got := SearchPath()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{filepath.Join(cache, "ebb/ggml", Version), filepath.Dir(exe), "/first", "/second"}
	if len(got) < 5 || !slices.Equal(got[:4], want) || !slices.Contains(got[4:], "/usr/local/lib") {
		t.Errorf("got  %q\nwant %q and the system's folders", got, want)
	}
}

// What the search does on the systems that the tests do not run on.
func TestSearchPathOfEachSystem(t *testing.T) {
	env := map[string]string{"LD_LIBRARY_PATH": "/linux", "DYLD_LIBRARY_PATH": "/mac", "PATH": "/path"}
	for _, tt := range []struct {
		s    system
		want []string
	}{
		{system{os: "linux", arch: "amd64", cache: "/cache", exe: "/exe"}, []string{
			"/cache/ebb/ggml/0.25.1", "/exe", "/linux", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib",
		}},
		{system{os: "linux", arch: "arm64"}, []string{"/linux", "/usr/local/lib", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"}},
		{system{os: "darwin", arch: "arm64", cache: "/cache", exe: "/exe"}, []string{
			"/cache/ebb/ggml/0.23.0", "/exe", "/mac", "/opt/homebrew/lib", "/usr/local/lib",
		}},
		{system{os: "windows", arch: "amd64", cache: "/cache", exe: "/exe"}, []string{"/cache/ebb/ggml/0.23.0", "/exe"}},
	} {
		tt.s.env = func(name string) string { return env[name] }
		if diff := cmp.Diff(tt.s.searchPath(), tt.want); diff != "" {
			t.Errorf("%s %s (-got +want):\n%s", tt.s.os, tt.s.arch, diff)
		}
	}
}

func TestMissingLibrariesAreNamedWithEveryPlaceAndTheCommand(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("EBB_GGML", dir)
	_, err := open(SearchPath())
	if !errors.Is(err, ErrNoLibrary) {
		t.Fatalf("got %v, want ErrNoLibrary", err)
	}
	for _, want := range []string{dir, "make libs", "EBB_GGML"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	_, err = open([]string{"/nowhere/one", "/nowhere/two"})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/one") || !strings.Contains(err.Error(), "/nowhere/two") {
		t.Errorf("got %v, want both places named", err)
	}
}

func TestLibrariesAreFoundByAnyFlavoursName(t *testing.T) {
	if first(t.TempDir(), []string{"*"}) != "" {
		t.Fatal("found a file in an empty folder")
	}
	tests := []struct {
		files []string
		found bool
	}{
		{[]string{"libggml-base.so", "libggml.so"}, true},
		{[]string{"libggml-base.so.0", "libggml.so.0"}, true},
		{[]string{"libggml-base.so", "libggml.vulkan.v0.5.0.so"}, true},
		{[]string{"libggml-base.dylib", "libggml.dylib"}, true},
		{[]string{"libggml-base.dylib", "libggml.metal.v0.4.0.dylib"}, true},
		{[]string{"ggml-base.dll", "ggml.vulkan.v0.4.0.dll"}, true},
		{[]string{"ggml-base.dll", "ggml.dll"}, true},
		{[]string{"ggml-base.dll", "ggml-cpu-x64.dll"}, false},
		{[]string{"libggml-base.so"}, false},
		{[]string{"libggml.so", "libggml-cpu.so"}, false},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		for _, f := range tt.files {
			if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := system{os: "linux"}
		switch filepath.Ext(tt.files[0]) {
		case ".dylib":
			s.os = "darwin"
		case ".dll":
			s.os = "windows"
		}
		got, err := s.find([]string{"/nowhere", dir})
		if found := err == nil; found != tt.found || found && got.dir != dir {
			t.Errorf("%v: got %+v, %v; want found %t", tt.files, got, err, tt.found)
		}
	}
}

func TestAFileThatIsNoLibraryIsAnError(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"libggml-base.so", "libggml.so", "libggml-base.dylib", "libggml.dylib", "ggml-base.dll", "ggml.dll"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("no library"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := filepath.Join(dir, "libggml-base")
	if runtime.GOOS == "windows" {
		want = filepath.Join(dir, "ggml-base")
	}
	_, err := open([]string{dir})
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

func TestOtherVersionsAreRefusedWithFoundAndWanted(t *testing.T) {
	for _, v := range []string{"0.25.0", "0.25.1", "0.25.17", "0.23.0"} {
		if err := checkVersion(v); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	for _, v := range []string{"", "0.24.9", "0.26.0", "1.25.1", "0.25.", "0.250.1", "0.25", "10.25.1", "0.22.9", "0.23", "0.23."} {
		err := checkVersion(v)
		if err == nil || !strings.Contains(err.Error(), "version "+v+",") || !strings.Contains(err.Error(), "want 0.25.x") {
			t.Errorf("%q: got %v, want found and wanted version", v, err)
		}
	}
}

func TestDeviceIsFoundInAnyCase(t *testing.T) {
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cpu", "CPU", "Cpu"} {
		d, err := l.Device(name)
		if err != nil || d.Name() != "cpu" || d.Type() != CPU || d.Software() || d.Description() == "" {
			t.Errorf("%s: got %+v, %v", name, d, err)
		}
	}
	d, err := l.Device("cpu")
	if err != nil {
		t.Fatal(err)
	}
	if free, total := d.Memory(); free <= 0 || total < free {
		t.Errorf("memory is %d free of %d", free, total)
	}
	if !slices.Contains(l.Devices(), d) {
		t.Error("Devices does not list the CPU")
	}
}

func TestUnknownDeviceIsAnErrorThatListsTheDevices(t *testing.T) {
	l := &Library{devices: []*Device{{name: "cuda0"}, {name: "cpu"}}}
	_, err := l.Device("gpu")
	if err == nil || !strings.Contains(err.Error(), `"gpu"`) || !strings.Contains(err.Error(), "cuda0, cpu") {
		t.Errorf("got %v", err)
	}
	_, err = l.Device("Vulkan0")
	if err == nil || !strings.Contains(err.Error(), "GGML_VK_VISIBLE_DEVICES=0") {
		t.Errorf("got %v, want a hint for the software driver", err)
	}
}

func TestLogKeepsTheLastWarningsAndErrors(t *testing.T) {
	var l logTail
	if got := l.last(); got != "ggml logged nothing" {
		t.Errorf("got %q", got)
	}
	for i, line := range []string{"info\n", "one\n", "two\n", "three\n", "four\n", "five\n"} {
		text := append([]byte(line), 0)
		level := int32(logError)
		if i == 0 {
			level = 2
		}
		l.add(level, uintptr(unsafe.Pointer(&text[0])), 0)
		runtime.KeepAlive(text)
	}
	if got, want := l.last(), "ggml's last lines: two; three; four; five"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
