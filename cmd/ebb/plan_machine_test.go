package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/seed4d217819/ebb/plan"
)

// A control group of either version bounds what a plan takes to be free, and so what it gives to K/V.
func TestPlansKeepToTheLimitsOfControlGroups(t *testing.T) {
	const available, mib = 8 << 30, 1 << 20
	for _, test := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no limit", nil, available},
		{"version 2", map[string]string{
			"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "536870912\n", "sys/fs/cgroup/a/memory.current": "104857600\n",
		}, 412 * mib},
		{"version 2, memory.high", map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.high": "314572800\n", "sys/fs/cgroup/a/memory.current": "0\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n",
		}, 300 * mib},
		{"version 1", map[string]string{
			"proc/self/cgroup": "5:memory:/docker/x\n",
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "268435456\n", "sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes": "67108864\n",
			"sys/fs/cgroup/memory/docker/x/memory.stat": "total_inactive_file 33554432\n",
		}, 224 * mib},
	} {
		root := fstest.MapFS{"proc/meminfo": {Data: fmt.Appendf(nil, "MemTotal: 16777216 kB\nMemAvailable: %d kB\n", available>>10)}}
		for name, text := range test.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		m, err := thisMachine(t.Context(), root, "")
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if m.HostMemory != test.want || m.Unified && m.DeviceMemory != test.want {
			t.Errorf("%s: %d bytes of host memory, %d of the device; want %d of both", test.name, m.HostMemory, m.DeviceMemory, test.want)
		}
		if !m.Unified { // here is a GPU; its memory is its own
			continue
		}
		var r plan.Request
		f := planFlags{disk: diskPlace{dir: "/d"}, hostMemory: 64 * mib, hostStated: true}
		f.budgets(&r, m.Machine, anyDisk)
		if r.DeviceMemory+r.HostMemory > test.want {
			t.Errorf("%s: K/V may take %d bytes there and %d off it; want no more than %d together", test.name, r.DeviceMemory, r.HostMemory, test.want)
		}
	}
}

// Whatever a machine's file holds, the answer is a machine or an error that names the file.
func TestHostileMachinesAreRefused(t *testing.T) {
	dir := t.TempDir()
	good := `"device_memory_bytes":1,"device_memory_rate":1,"host_memory_bytes":1,"link_rate":1,"disk_rate":1`
	for name, text := range map[string]string{
		"empty":          "",
		"null":           "null",
		"a list":         "[1]",
		"nested":         strings.Repeat(`{"a":`, 100_000),
		"long":           `{"name":"` + strings.Repeat("x", 2<<20) + `",` + good + `}`,
		"NaN":            `{` + good + `,"kv_rate":NaN}`,
		"infinite":       `{` + good + `,"kv_rate":1e999}`,
		"negative":       `{` + good + `,"layer_seconds":-1}`,
		"slow":           `{` + strings.Replace(good, `"link_rate":1`, `"link_rate":1e-300`, 1) + `}`,
		"fast":           `{` + good + `,"weight_rate":1e200}`,
		"long steps":     `{` + good + `,"step_seconds":1e300}`,
		"negative cost":  `{` + good + `,"copy_cost":-1e-300}`,
		"a fraction":     `{` + strings.Replace(good, ":1,", ":0.5,", 1) + `}`,
		"too large":      `{` + strings.Replace(good, ":1,", ":99999999999999999999,", 1) + `}`,
		"zero":           `{` + strings.Replace(good, ":1,", ":0,", 1) + `}`,
		"unknown":        `{` + good + `,"Paced":true}`,
		"twice":          `{` + good + `}{` + good + `}`,
		"bytes":          "\x00\xff\xfe",
		"a text as rate": `{` + good + `,"weight_rate":"1e9"}`,
	} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := namedMachine(path)
		if err == nil || !strings.HasPrefix(err.Error(), "--machine "+path+": ") || len(err.Error()) > 1000 {
			t.Errorf("%s: %+v, %.1000v; want an error that names the file", name, m, err)
		}
	}
}
