package doctor

import (
	"bufio"
	"bytes"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
)

// Machine is what the system reports about a machine and this process's limits on it.
type Machine struct {
	CPU       string   `json:"cpu"`
	Cores     int      `json:"cores"` // that this process may run on
	Features  []string `json:"features,omitempty"`
	Quota     float64  `json:"quota"` // the cores whose time the control group allows; 0: no limit
	Total     int64    `json:"memory_bytes"`
	Available int64    `json:"available_bytes"`
	Limit     int64    `json:"limit_bytes"`   // of the control group; 0: none
	Used      int64    `json:"used_bytes"`    // by the control group, where there is a limit
	Memlock   int64    `json:"memlock_bytes"` // memory that may be locked; Unlimited, or 0: unknown or none
	HugePages string   `json:"huge_pages,omitempty"`
	Software  bool     `json:"software_vulkan"` // Mesa's software driver is installed
	GPUs      []GPU    `json:"gpus,omitempty"`
}

// Unlimited stands for a limit that does not exist.
const Unlimited = int64(-1)

// Room returns how many bytes of memory this process may still take; 0 if that is unknown.
func (m Machine) Room() int64 {
	if m.Limit > 0 {
		return max(0, min(m.Available, m.Limit-m.Used))
	}
	return m.Available
}

// features are the CPU's flags for which ggml has kernels.
var features = []string{
	"sse4_2", "avx", "f16c", "fma", "bmi2", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx512_vnni", "avx512_bf16",
	"amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "sve", "sve2", "sme",
}

// ReadMachine reads the files of a Linux system under root, which is "/" except in tests. On other
// systems most of the fields stay unknown.
func ReadMachine(root fs.FS) Machine {
	m := Machine{CPU: runtime.GOARCH, Cores: runtime.NumCPU()}
	info := read(root, "proc/cpuinfo")
	if name := value(info, "model name"); name != "" {
		m.CPU = name
	}
	flags := strings.Fields(value(info, "flags") + " " + value(info, "Features")) // x86, ARM
	has := map[string]bool{}
	for _, f := range flags {
		has[f] = true
	}
	for _, f := range features {
		if has[f] {
			m.Features = append(m.Features, f)
		}
	}
	memory := read(root, "proc/meminfo")
	m.Total, m.Available = kilobytes(value(memory, "MemTotal")), kilobytes(value(memory, "MemAvailable"))
	m.Memlock = memlock(read(root, "proc/self/limits"))
	m.HugePages = bracketed(read(root, "sys/kernel/mm/transparent_hugepage/enabled"))
	drivers, err := fs.Glob(root, "usr/share/vulkan/icd.d/lvp_icd*.json")
	m.Software = err == nil && len(drivers) > 0
	m.GPUs = ReadGPUs(root)
	groups := readGroups(root)
	m.Quota = groups.quota()
	m.Limit, m.Used = groups.memory(m.Total)
	return m
}

// ReadRoom returns how many bytes of memory this process may still take, from the files that
// [ReadMachine] reads for that, and whether they say so.
func ReadRoom(root fs.FS) (bytes int64, known bool) {
	memory := read(root, "proc/meminfo")
	m := Machine{Total: kilobytes(value(memory, "MemTotal")), Available: kilobytes(value(memory, "MemAvailable"))}
	m.Limit, m.Used = readGroups(root).memory(m.Total)
	return m.Room(), m.Available > 0
}

// read returns a file's bytes, or none if it cannot be read.
func read(root fs.FS, name string) []byte {
	data, err := fs.ReadFile(root, name)
	if err != nil {
		return nil
	}
	return data
}

// value returns what follows the first "key :" in a file.
func value(data []byte, key string) string {
	for line := range bytes.Lines(data) {
		k, v, ok := strings.Cut(string(line), ":")
		if ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// kilobytes reads a number of bytes as in "24684084 kB".
func kilobytes(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(text, "kB")), 10, 64)
	if err != nil || n < 0 || n > 1<<52 {
		return 0
	}
	return n << 10
}

// memlock returns the soft limit of locked memory from /proc/self/limits.
func memlock(limits []byte) int64 {
	for line := range bytes.Lines(limits) {
		rest, ok := bytes.CutPrefix(line, []byte("Max locked memory"))
		words := strings.Fields(string(rest))
		if !ok || len(words) == 0 {
			continue
		}
		if words[0] == "unlimited" {
			return Unlimited
		}
		n, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	return 0
}

// bracketed returns the chosen word of a file such as "always [madvise] never".
func bracketed(data []byte) string {
	_, rest, _ := strings.Cut(string(data), "[")
	chosen, _, ok := strings.Cut(rest, "]")
	if !ok {
		return ""
	}
	return chosen
}

// Huge returns the bytes of this process that lie in huge pages.
func Huge(root fs.FS) int64 {
	return kilobytes(value(read(root, "proc/self/smaps_rollup"), "AnonHugePages"))
}

// Locked returns the bytes that the system counts as pinned or locked by this process.
func Locked(root fs.FS) int64 {
	status := read(root, "proc/self/status")
	return kilobytes(value(status, "VmPin")) + kilobytes(value(status, "VmLck"))
}

// LoadedFiles returns the paths of the libraries that this process has loaded.
func LoadedFiles(root fs.FS) []string {
	seen := map[string]bool{}
	var files []string
	lines := bufio.NewScanner(bytes.NewReader(read(root, "proc/self/maps")))
	for lines.Scan() {
		_, path, ok := strings.Cut(lines.Text(), "/")
		if path = "/" + path; ok && !seen[path] {
			seen[path] = true
			files = append(files, path)
		}
	}
	return files
}
