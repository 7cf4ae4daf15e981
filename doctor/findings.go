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
	Fatal   Severity = "fatal"   // ebb cannot run, or not this model
	Warning Severity = "warning" // it runs, and slowly or not for long
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
	for _, of := range []func(Readings) []Finding{libraries, kernels, gpus, threads, copies, memory, disk, model} {
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
			Fatal, "no ggml libraries are in the folders where ebb looks",
			"fetch them with `make libs`, or set EBB_GGML to a folder that holds ggml " + l.Want,
		}}
	case l.Error != "":
		return []Finding{{
			Fatal, "the ggml libraries cannot be loaded: " + l.Error,
			"fetch ones that fit with `make libs`, or set EBB_GGML to a folder that holds ggml " + l.Want,
		}}
	case l.LlamaErr != "":
		return []Finding{{
			Fatal, "libllama, which splits texts into tokens, cannot be loaded: " + l.LlamaErr,
			"use libraries that come with it: `make libs` fetches such",
		}}
	}
	return nil
}

// plain are the files with kernels that use little of a current CPU.
var plain = []string{"-x64.", "-sse42.", "-sandybridge.", "-ivybridge.", "-piledriver."}

func kernels(r Readings) []Finding {
	l := r.Libraries
	weak := slices.ContainsFunc(plain, func(s string) bool { return strings.Contains(l.Kernels, s) })
	if !weak || !slices.Contains(r.Machine.Features, "avx2") {
		return nil
	}
	return []Finding{{
		Warning, fmt.Sprintf("ggml computes with %s, though this CPU has AVX2", l.Kernels),
		"use libraries with kernels for it (libggml-cpu-haswell and later): `make libs` fetches them",
	}}
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
		all = append(all, Finding{Note, "there is Mesa's software Vulkan driver among the devices, which computes on the CPU and is many times slower than it", "use it for tests only; --device cpu is fast"})
	case !gpu && r.Machine.Software && slices.ContainsFunc(r.Libraries.Backends, func(b Backend) bool { return b.Loaded && strings.Contains(b.File, "vulkan") }):
		all = append(all, Finding{Note, "Mesa's software Vulkan driver is installed, and ggml hides it", "for tests of a second device set GGML_VK_VISIBLE_DEVICES=0 in the environment"})
	}
	for _, d := range r.Devices {
		if d.Error != "" {
			all = append(all, Finding{Warning, d.Name + " is listed and does not work: " + d.Error, "check its driver; --device chooses another one"})
		}
	}
	return all
}

func threads(r Readings) []Finding {
	var all []Finding
	m := r.Machine
	if m.Quota > 0 && float64(r.Threads) > m.Quota {
		all = append(all, Finding{
			Warning, fmt.Sprintf("%s compute, and the control group allows the time of %.3g: they wait for each other by spinning, and use it up", number(r.Threads, "thread"), m.Quota),
			fmt.Sprintf("pass --threads %d, or raise the limit (cpu.max; docker run --cpus)", max(1, int(math.Floor(m.Quota)))),
		})
	}
	if r.Threads > m.Cores && m.Cores > 0 {
		all = append(all, Finding{
			Warning, fmt.Sprintf("%s compute on %s: they wait for each other by spinning", number(r.Threads, "thread"), number(m.Cores, "core")),
			fmt.Sprintf("pass --threads %d", m.Cores),
		})
	}
	const disturbing = 0.15 // of a core: from there on measurements are repeated
	if r.Others > disturbing {
		free := max(1, m.Cores-int(math.Ceil(r.Others)))
		all = append(all, Finding{
			Warning, fmt.Sprintf("other processes use %.1f of %s now: a thread that waits for its turn makes all others wait", r.Others, number(m.Cores, "core")),
			fmt.Sprintf("end them, or pass --threads %d", free),
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
		f := Finding{Warning, fmt.Sprintf("host memory for copies to %s is not pinned (asked for %s, got %s): copies are slower and wait for the CPU", d.Name, unless(d.HostBuffer, "nothing"), unless(d.GotBuffer, "nothing")), "check the driver's log"}
		if r.Machine.Memlock > 0 {
			f.Fix = fmt.Sprintf("raise the limit of locked memory, %s now: ulimit -l unlimited (docker run --ulimit memlock=-1)", bytesize.Format(r.Machine.Memlock))
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
			Note, fmt.Sprintf("the control group allows %s of the machine's %s, and uses %s: past it the process is killed", bytesize.Format(m.Limit), bytesize.Format(m.Total), bytesize.Format(m.Used)),
			"choose --context so that K/V fit; raise memory.max (docker run --memory)",
		})
	}
	if m.HugePages == "never" {
		all = append(all, Finding{
			Note, "huge pages are switched off: memory for K/V is slower the first time that it is touched",
			"as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
		})
	}
	return all
}

func disk(r Readings) []Finding {
	switch d := r.Disk; {
	case d == nil:
		return nil
	case d.Error != "":
		return []Finding{{Warning, fmt.Sprintf("the disk of %s could not be measured: %s", d.Dir, d.Error), "name a folder that can be written, with --disk"}}
	case !d.Direct:
		return []Finding{{Warning, fmt.Sprintf("files in %s are not read past the page cache (no O_DIRECT), so the rates may be those of memory", d.Dir), "name a folder on a disk with --disk; tmpfs and some network file systems are none"}}
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
	for _, f := range m.Fits { // the first of a device is that of the default K/V type
		if !seen[f.Device] {
			all = append(all, fitFinding(*m, f)...)
		}
		seen[f.Device] = true
	}
	return all
}

// fitFinding says what of a model does not fit a device. f is that of the first K/V type.
func fitFinding(m Model, f Fit) []Finding {
	quantized := ""
	better := func(other Fit) bool { return other.Device == f.Device && other.Tokens > f.Tokens }
	if i := slices.IndexFunc(m.Fits, better); i >= 0 { // the first: types stand with those of more bits first
		quantized = fmt.Sprintf("; --kv-type %s holds %d", m.Fits[i].Type, m.Fits[i].Tokens)
	}
	switch {
	case f.Tokens == m.Context:
		return nil
	case f.Room <= 0 && f.Device == cpu:
		return []Finding{{
			Fatal, fmt.Sprintf("the model does not fit: its weights and a step take %s, and %s are free", bytesize.Format(m.Weights+m.Step), bytesize.Format(f.Room+m.Weights+m.Step)),
			"choose a smaller model or one with fewer bits a weight, or free memory",
		}}
	case f.Room <= 0:
		return []Finding{{
			Warning, fmt.Sprintf("the weights do not fit %s: with a step they take %s, and %s are free", f.Device, bytesize.Format(m.Weights+m.Step), bytesize.Format(f.Room+m.Weights+m.Step)),
			"compute some layers there and the others on the CPU (--gpu-layers), or choose a model with fewer bits a weight",
		}}
	case f.Device == cpu:
		return []Finding{{
			Warning, fmt.Sprintf("the whole context of %d tokens does not fit memory: %d tokens do, in %s", m.Context, f.Tokens, f.Type),
			fmt.Sprintf("pass --context %d%s", max(f.Tokens, plan.Block), quantized),
		}}
	default:
		return []Finding{{
			Note, fmt.Sprintf("the whole context of %d tokens does not fit %s: %d tokens do, in %s", m.Context, f.Device, f.Tokens, f.Type),
			fmt.Sprintf("with --cache offloaded K/V live in host memory, and %d tokens fit%s", f.Offloaded, quantized),
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
