package doctor

import (
	"maps"
	"runtime"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// files makes a file system of texts by name.
func files(texts ...map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for _, text := range texts {
		for name, data := range text {
			root[name] = &fstest.MapFile{Data: []byte(data)}
		}
	}
	return root
}

// linux is what every Linux machine has.
var linux = map[string]string{
	"proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse4_2 avx avx2 fma f16c bmi2 nonsense avx512f\n\nprocessor\t: 1\nmodel name\t: Other\n",
	"proc/meminfo": "MemTotal:       16777216 kB\nMemFree:  100 kB\nMemAvailable:   8388608 kB\n",
	"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max cpu time              unlimited            unlimited            seconds   \n" +
		"Max locked memory         8388608              unlimited            bytes     \n",
	"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
}

func TestAMachineIsRead(t *testing.T) {
	want := Machine{
		CPU: "AMD EPYC", Cores: runtime.NumCPU(), Features: []string{"sse4_2", "avx", "f16c", "fma", "bmi2", "avx2", "avx512f"},
		Total: 16 << 30, Available: 8 << 30, Memlock: 8 << 20, HugePages: "madvise",
	}
	if diff := cmp.Diff(ReadMachine(files(linux)), want); diff != "" {
		t.Errorf("machine (-got +want):\n%s", diff)
	}
	unknown := Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU()}
	if diff := cmp.Diff(ReadMachine(files()), unknown); diff != "" {
		t.Errorf("a machine without files (-got +want):\n%s", diff)
	}
	more := files(linux, map[string]string{
		"proc/self/limits":                             "Max locked memory         unlimited            unlimited            bytes\n",
		"usr/share/vulkan/icd.d/lvp_icd.x86_64.json":   "{}",
		"usr/share/vulkan/icd.d/intel_icd.x86_64.json": "{}",
	})
	if m := ReadMachine(more); m.Memlock != Unlimited || !m.Software {
		t.Errorf("memlock %d, software driver %t; want %d, true", m.Memlock, m.Software, Unlimited)
	}
}

func TestHugePagesOfTheProcessAreRead(t *testing.T) {
	root := files(map[string]string{"proc/self/smaps_rollup": "00400000-7ffc1000 ---p 00000000 00:00 0   [rollup]\nRss:  90000 kB\nAnonHugePages:     65536 kB\n"})
	if got := Huge(root); got != 64<<20 {
		t.Errorf("%d bytes, want %d", got, 64<<20)
	}
	if got := Huge(files()); got != 0 {
		t.Errorf("%d bytes where the system does not say it, want 0", got)
	}
}

func TestTheTightestControlGroupCounts(t *testing.T) {
	const noLimit = "9223372036854771712"
	for _, test := range []struct {
		name        string
		files       map[string]string
		quota       float64
		limit, used int64
	}{
		{"none", nil, 0, 0, 0},
		{"version 2", map[string]string{
			"proc/self/cgroup":                    "0::/user.slice/a.scope\n",
			"sys/fs/cgroup/user.slice/cpu.max":    "max 100000\n",
			"sys/fs/cgroup/user.slice/memory.max": "4294967296\n", "sys/fs/cgroup/user.slice/memory.current": "1073741824\n",
			"sys/fs/cgroup/user.slice/a.scope/cpu.max":    "150000 100000\n",
			"sys/fs/cgroup/user.slice/a.scope/memory.max": "max\n",
		}, 1.5, 4 << 30, 1 << 30},
		{"a container of version 2, whose group is the root", map[string]string{
			"proc/self/cgroup":             "0::/\n",
			"sys/fs/cgroup/cpu.max":        "200000 100000\n",
			"sys/fs/cgroup/memory.max":     "2147483648\n",
			"sys/fs/cgroup/memory.current": "1073741824\n",
			"sys/fs/cgroup/memory.stat":    "anon 5\ninactive_file 536870912\n",
		}, 2, 2 << 30, 512 << 20},
		{"memory.high", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.high": "1073741824\n", "sys/fs/cgroup/memory.current": "0\n",
		}, 0, 1 << 30, 0},
		{"version 1", map[string]string{
			"proc/self/cgroup":                                    "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n0::/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":          noLimit,
			"sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": "1073741824\n", "sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes": "100\n",
			"sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000\n",
		}, 0.5, 1 << 30, 100},
		{"a container of version 1, whose group is not shown", map[string]string{
			"proc/self/cgroup":                           "5:memory:/docker/x\n4:cpu:/docker/x\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":         "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
		}, 0, 1 << 30, 0},
		{"no limits", map[string]string{
			"proc/self/cgroup":                           "5:memory:/\n4:cpu:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": noLimit,
		}, 0, 0, 0},
		{"nonsense", map[string]string{
			"proc/self/cgroup": "::\n:\n0:::/../../..\n0::/../..\n", "sys/fs/cgroup/cpu.max": "0 0", "sys/fs/cgroup/memory.max": "-5",
		}, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := ReadMachine(files(linux, test.files))
			if m.Quota != test.quota || m.Limit != test.limit || m.Used != test.used {
				t.Errorf("quota %g, limit %d, used %d; want %g, %d, %d", m.Quota, m.Limit, m.Used, test.quota, test.limit, test.used)
			}
		})
	}
}

func TestRoomIsWhatIsAvailableWithinTheLimit(t *testing.T) {
	for _, test := range []struct {
		machine Machine
		want    int64
	}{
		{Machine{}, 0},
		{Machine{Available: 100}, 100},
		{Machine{Available: 100, Limit: 80, Used: 30}, 50},
		{Machine{Available: 10, Limit: 80, Used: 30}, 10},
		{Machine{Available: 100, Limit: 80, Used: 90}, 0},
	} {
		if got := test.machine.Room(); got != test.want {
			t.Errorf("%+v: %d, want %d", test.machine, got, test.want)
		}
	}
}

func TestLoadedFilesAreNamedOnce(t *testing.T) {
	root := files(map[string]string{
		"proc/self/maps":   "7f00-7f01 r-xp 00000000 08:01 5 /usr/lib/a b.so\n7f01-7f02 rw-p 00000000 08:01 5 /usr/lib/a b.so\n7f03-7f04 rw-p 00000000 00:00 0\n",
		"proc/self/status": "VmLck:\t      16 kB\nVmPin:\t      48 kB\n",
	})
	if diff := cmp.Diff(LoadedFiles(root), []string{"/usr/lib/a b.so"}); diff != "" {
		t.Errorf("files (-got +want):\n%s", diff)
	}
	if got, want := Locked(root), int64(64<<10); got != want {
		t.Errorf("%d bytes locked, want %d", got, want)
	}
}

// FuzzReadMachine keeps one promise for any bytes in the system's files: no panic, and no negative
// size.
func FuzzReadMachine(f *testing.F) {
	for _, text := range linux {
		f.Add([]byte(text))
	}
	f.Add([]byte("0::/a/b\n4:cpu,memory:/c\n"))
	names := []string{"proc/self/cgroup", "proc/self/maps", "proc/self/status", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/cpu.max", "sys/fs/cgroup/memory.current"}
	for name := range maps.Keys(linux) {
		names = append(names, name)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		root := fstest.MapFS{}
		for _, name := range names {
			root[name] = &fstest.MapFile{Data: data}
		}
		m := ReadMachine(root)
		if m.Total < 0 || m.Available < 0 || m.Limit < 0 || m.Used < 0 || m.Quota < 0 || m.Room() < 0 || m.Memlock < Unlimited {
			t.Errorf("%+v has a negative size", m)
		}
		_, _ = LoadedFiles(root), Locked(root)
	})
}
