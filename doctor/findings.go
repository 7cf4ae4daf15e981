package doctor

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/plan"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Fatal   Severity = "fatal"   // ebb cannot run, or cannot run this model
	Warning Severity = "warning" // ebb runs, but slowly, or not for long
	Note    Severity = "note"    // worth knowing
)

// Finding is a fault of a machine, or of how it is set up.
type Finding struct {
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Fix      string   `json:"fix"`
}

// Findings returns what there is to fix, the worst first.
func Findings(r Readings) []Finding {
	var all []Finding
	for _, of := range []func(Readings) []Finding{libraries, kernels, instructionSet, gpus, threads, copies, memory, disk, model} {
		all = append(all, of(r)...)
	}
	order := []Severity{Fatal, Warning, Note}
	slices.SortStableFunc(all, func(a, b Finding) int { return slices.Index(order, a.Severity) - slices.Index(order, b.Severity) })
	return all
}

// Runs reports whether ebb can do what was asked for, as far as findings tell.
func Runs(findings []Finding) bool {
	return !slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Fatal })
}

func libraries(r Readings) []Finding {
	l := r.Libraries
	found := slices.ContainsFunc(l.Places, func(p Place) bool { return p.State == Found })
	switch {
	case l.Error != "" && !found:
		return []Finding{{
			Fatal, "ebb found no ggml libraries in the folders where it looks",
			"fetch them with `make libs`, or set EBB_GGML to a folder that holds ggml " + l.Want,
		}}
	case l.Error != "":
		return []Finding{{
			Fatal, "the ggml libraries cannot be loaded: " + l.Error,
			"fetch libraries that fit with `make libs`, or set EBB_GGML to a folder that holds ggml " + l.Want,
		}}
	case l.LlamaErr != "":
		return []Finding{{
			Fatal, "libllama, which splits texts into tokens, cannot be loaded: " + l.LlamaErr,
			"`make libs` fetches libraries with libllama among them",
		}}
	}
	return nil
}

// plain are parts of the names of files whose kernels use little of what a current CPU offers.
var plain = []string{"-x64.", "-sse42.", "-sandybridge.", "-ivybridge.", "-piledriver."}

func kernels(r Readings) []Finding {
	l := r.Libraries
	weak := slices.ContainsFunc(plain, func(s string) bool { return strings.Contains(l.Kernels, s) })
	if !weak || !slices.Contains(r.Machine.Features, "avx2") {
		return nil
	}
	return []Finding{{
		Warning, fmt.Sprintf("ggml computes with %s, although this CPU has AVX2", l.Kernels),
		"use libraries with kernels for this CPU (libggml-cpu-haswell or later): `make libs` fetches them",
	}}
}

func instructionSet(r Readings) []Finding {
	k := r.Kernels
	switch {
	case k.Error != "":
		fix := "unset EBB_ISA, so that ggml's kernels compute"
		if len(k.Has) > 0 {
			fix = fmt.Sprintf("unset EBB_ISA, so that the best instruction set computes, which is %s here", k.Has[0])
		}
		return []Finding{{Fatal, "EBB_ISA names no instruction set that can be used: " + k.Error, fix}}
	case k.Named != "" && len(k.Has) > 0 && k.Set != k.Has[0]:
		return []Finding{{
			Note, fmt.Sprintf("EBB_ISA makes attention and products compute with %s, although this processor has %s", k.Set, k.Has[0]),
			"unset EBB_ISA, unless you compare them",
		}}
	}
	return nil
}

func gpus(r Readings) []Finding {
	var all []Finding
	for _, b := range r.Libraries.Backends {
		if !b.Loaded && (strings.Contains(b.File, "vulkan") || strings.Contains(b.File, "cuda")) {
			all = append(all, unloaded(b, r.Machine.GPUs))
		}
	}
	all = append(all, unusedGPUs(r)...)
	software := slices.ContainsFunc(r.Devices, func(d Device) bool { return d.Software })
	gpu := slices.ContainsFunc(r.Devices, func(d Device) bool { return !d.cpu() })
	switch {
	case software:
		all = append(all, Finding{Note, "one of the devices is Mesa's software Vulkan driver, which computes on the CPU and is many times slower than the device cpu", "use it only for tests: --device cpu is faster"})
	case !gpu && r.Machine.Software && slices.ContainsFunc(r.Libraries.Backends, func(b Backend) bool { return b.Loaded && strings.Contains(b.File, "vulkan") }):
		all = append(all, Finding{Note, "Mesa's software Vulkan driver is installed, but ggml does not list it", "to test with a second device, set GGML_VK_VISIBLE_DEVICES=0 in the environment"})
	}
	for _, d := range r.Devices {
		if d.Error != "" {
			all = append(all, Finding{Warning, d.Name + " is listed but does not work: " + d.Error, "check its driver, or choose another device with --device"})
		}
	}
	return all
}

func threads(r Readings) []Finding {
	var all []Finding
	m := r.Machine
	if m.Quota > 0 && float64(r.Threads) > m.Quota {
		all = append(all, Finding{
			Warning, fmt.Sprintf("ebb computes with %s, but the control group allows the time of %.3g: threads spin while they wait for each other, which uses that time up", number(r.Threads, "thread"), m.Quota),
			fmt.Sprintf("pass --threads %d, or raise the limit (cpu.max; docker run --cpus)", max(1, int(math.Floor(m.Quota)))),
		})
	}
	if r.Threads > m.Cores && m.Cores > 0 {
		all = append(all, Finding{
			Warning, fmt.Sprintf("ebb computes with %s on %s: threads spin while they wait for each other, which slows all of them down", number(r.Threads, "thread"), number(m.Cores, "core")),
			fmt.Sprintf("pass --threads %d", m.Cores),
		})
	}
	const disturbing = 0.15 // of a core: above it measurements are repeated
	if r.Others > disturbing {
		free := max(1, m.Cores-int(math.Ceil(r.Others)))
		all = append(all, Finding{
			Warning, fmt.Sprintf("other processes use %.1f of %s now: a thread that has to wait for a core makes all the others wait", r.Others, number(m.Cores, "core")),
			fmt.Sprintf("end those processes, or pass --threads %d", free),
		})
	}
	return all
}

func copies(r Readings) []Finding {
	var all []Finding
	for _, d := range r.Devices {
		if d.cpu() || d.Type == "igpu" || d.Error != "" || d.Pinned() {
			continue
		}
		f := Finding{Warning, fmt.Sprintf("host memory for copies to %s is not pinned (asked for %s, got %s): copies are slower and need the CPU", d.Name, unless(d.HostBuffer, "nothing"), unless(d.GotBuffer, "nothing")), "check the driver's log"}
		if r.Machine.Memlock > 0 {
			f.Fix = fmt.Sprintf("raise the limit on locked memory, which is %s: ulimit -l unlimited (docker run --ulimit memlock=-1)", bytesize.Format(r.Machine.Memlock))
		}
		all = append(all, f)
	}
	return all
}

func memory(r Readings) []Finding {
	var all []Finding
	m := r.Machine
	if m.Limit > 0 {
		all = append(all, Finding{
			Note, fmt.Sprintf("the control group may use %s of the machine's %s, and uses %s: beyond that limit the process is killed", bytesize.Format(m.Limit), bytesize.Format(m.Total), bytesize.Format(m.Used)),
			"choose --context so that the K/V fit, or raise memory.max (docker run --memory)",
		})
	}
	return append(all, hugePages(r)...)
}

// hugePages goes by what was counted when the CPU copied memory, if it did: there are settings for each
// size of pages and for each process, too.
func hugePages(r Readings) []Finding {
	const gain = "with them, weights in memory of their own are read faster, and the first use of memory for K/V is faster"
	copied := slices.IndexFunc(r.Devices, func(d Device) bool { return d.Type == "cpu" && d.Error == "" })
	switch setting := r.Machine.HugePages; {
	case setting == "" || copied >= 0 && r.Devices[copied].HugeBytes > 0:
		return nil
	case setting == "never":
		return []Finding{{
			Note, "huge pages are switched off: " + gain,
			"as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
		}}
	case copied >= 0:
		return []Finding{{
			Note, fmt.Sprintf("the system gave ebb no huge pages, though they are switched on (%s): %s", setting, gain),
			"where the free memory is in small pieces, as root: echo 1 > /proc/sys/vm/compact_memory; where THP_enabled in /proc/self/status is 0, what starts ebb has switched them off",
		}}
	default:
		return nil
	}
}

func disk(r Readings) []Finding {
	switch d := r.Disk; {
	case d == nil:
		return nil
	case d.Error != "":
		return []Finding{{Warning, fmt.Sprintf("the disk of %s could not be measured: %s", d.Dir, d.Error), "name a folder that ebb may write to with --disk"}}
	case !d.Direct:
		return []Finding{{Warning, fmt.Sprintf("files in %s are read through the page cache (no O_DIRECT), so the rates may be those of memory", d.Dir), "name a folder on a local disk with --disk; tmpfs and some network file systems do not take O_DIRECT"}}
	}
	return nil
}

func model(r Readings) []Finding {
	m := r.Model
	switch {
	case m == nil:
		return nil
	case m.Error != "":
		return []Finding{{Fatal, "the model cannot be opened: " + m.Error, "name a GGUF file"}}
	case !m.known():
		return []Finding{{Fatal, fmt.Sprintf("ebb does not run the architecture %q", m.Architecture), "choose a model of one of: " + strings.Join(m.Known, ", ")}}
	}
	var all []Finding
	seen := map[string]bool{}
	for _, f := range m.Fits { // the first one of each device is for the default K/V type
		if !seen[f.Device] {
			all = append(all, fitFinding(*m, f)...)
		}
		seen[f.Device] = true
	}
	return all
}

// fitFinding reports what of a model does not fit on a device. f is for the first K/V type.
func fitFinding(m Model, f Fit) []Finding {
	quantized := ""
	better := func(other Fit) bool { return other.Device == f.Device && other.Tokens > f.Tokens }
	if i := slices.IndexFunc(m.Fits, better); i >= 0 { // the first one: the types are in descending order of bits
		quantized = fmt.Sprintf("; --kv-type %s has room for %d", m.Fits[i].Type, m.Fits[i].Tokens)
	}
	switch {
	case f.Tokens == m.Context:
		return nil
	case f.Room <= 0 && f.Device == cpu:
		return []Finding{{
			Warning, fmt.Sprintf("the model does not fit into memory: its weights and the memory for a step take %s, but %s are free, so that every token reads weights from the disk", bytesize.Format(m.Weights+m.Step), bytesize.Format(f.Room+m.Weights+m.Step)),
			"choose a smaller model or one with fewer bits per weight, or free some memory",
		}}
	case f.Room <= 0:
		fix := "compute only some layers there and the others on the CPU (--gpu-layers), or choose a model with fewer bits per weight"
		if m.Experts > 0 {
			fix = fmt.Sprintf("leave the experts to the CPU and in host memory (--cpu-experts), so that %s of weights are there, or ", bytesize.Format(m.Weights-m.Experts)) + fix
		}
		return []Finding{{
			Warning, fmt.Sprintf("the weights do not fit on %s: with the memory for a step they take %s, but %s are free", f.Device, bytesize.Format(m.Weights+m.Step), bytesize.Format(f.Room+m.Weights+m.Step)),
			fix,
		}}
	case f.Device == cpu:
		return []Finding{{
			Warning, fmt.Sprintf("the whole context of %d tokens does not fit into memory: %d tokens fit with K/V of type %s", m.Context, f.Tokens, f.Type),
			fmt.Sprintf("pass --context %d%s", max(f.Tokens, plan.Block), quantized),
		}}
	default:
		return []Finding{{
			Note, fmt.Sprintf("the whole context of %d tokens does not fit on %s: %d tokens fit with K/V of type %s", m.Context, f.Device, f.Tokens, f.Type),
			fmt.Sprintf("with --cache offloaded the K/V are kept in host memory, and %d tokens fit%s", f.Offloaded, quantized),
		}}
	}
}

func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func unless(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
