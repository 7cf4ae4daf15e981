package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/seed4d217819/ebb/doctor"
	"github.com/seed4d217819/ebb/internal/bytesize"
)

// printDiagnosis prints readings and findings for a person.
func printDiagnosis(w io.Writer, d diagnosis) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-13s%s\n", name, fmt.Sprintf(format, args...))
	}
	line("ebb", "%s on %s", d.Version, d.System)
	printLibraries(line, d.Libraries)
	line("", "attention and products: %s", describeKernels(d.Kernels))
	printMachine(line, d.Readings)
	for _, v := range d.Devices {
		line("device", "%s, %s: %s", v.Name, shown(v.Description), describeDevice(v))
		if v.Type == "cpu" && v.Error == "" && d.Machine.HugePages != "" {
			line("", "%s of the %s copied are in huge pages", bytesize.Format(v.HugeBytes), bytesize.Format(copyBytes))
		}
	}
	if disk := d.Disk; disk != nil && disk.Error == "" {
		how := "past the page cache"
		if !disk.Direct {
			how = "through the page cache"
		}
		line("disk", "%s, %s free: reads %s, writes %s, %s", disk.Dir, bytesize.Format(disk.Free), formatRate(disk.Read), formatRate(disk.Write), how)
	}
	if d.Model != nil && d.Model.Error == "" {
		printFits(line, *d.Model)
	}
	printFindings(w, d)
}

func printLibraries(line func(name, format string, args ...any), l doctor.Libraries) {
	if l.Error == "" {
		line("libraries", "ggml %s, libllama %s, in %s", l.Version, known(l.Llama), l.Dir)
		line("kernels", "%s: %s", known(l.Kernels), strings.Join(l.Features, " "))
		return
	}
	line("libraries", "none that can be used; want ggml %s", l.Want)
	for _, p := range l.Places {
		line("", "%s: %s", p.Dir, p.State)
	}
}

func printMachine(line func(name, format string, args ...any), r doctor.Readings) {
	m := r.Machine
	line("processor", "%s, %s; %s compute; other processes use %.1f cores now", m.CPU, count(m.Cores, "core"), count(r.Threads, "thread"), r.Others)
	if len(m.Features) > 0 {
		line("", "%s", strings.Join(m.Features, " "))
	}
	if m.Total > 0 {
		line("memory", "%s, %s of it available", bytesize.Format(m.Total), bytesize.Format(m.Available))
	}
	for _, g := range m.GPUs {
		line("gpu", "%s at %s; kernel driver: %s", g.Vendor, g.Address, known(g.Driver))
	}
	quota, limit, lock := "all cores", "all memory", "none, or unknown"
	if m.Quota > 0 {
		quota = fmt.Sprintf("the time of %.3g cores", m.Quota)
	}
	if m.Limit > 0 {
		limit = fmt.Sprintf("%s of memory, %s used", bytesize.Format(m.Limit), bytesize.Format(m.Used))
	}
	switch {
	case m.Memlock == doctor.Unlimited:
		lock = "all"
	case m.Memlock > 0:
		lock = bytesize.Format(m.Memlock)
	}
	line("limits", "%s, %s; memory that may be locked: %s; huge pages: %s", quota, limit, lock, known(m.HugePages))
}

func describeDevice(d doctor.Device) string {
	memory := fmt.Sprintf("%s of %s free by its driver", bytesize.Format(d.Free), bytesize.Format(d.Total))
	switch {
	case d.Error != "":
		return memory + "; it does not work"
	case d.Type == "cpu":
		return fmt.Sprintf("copies memory at %s", formatRate(max(d.To, d.From)))
	}
	pinned := "not pinned"
	switch {
	case d.Pinned() && d.PinnedBytes > 0:
		pinned = "pinned, as the system counts too"
	case d.Pinned():
		pinned = "pinned"
	}
	return fmt.Sprintf("%s; copies to it %s, back %s; host memory for them: %s, %s", memory, formatRate(d.To), formatRate(d.From), known(d.GotBuffer), pinned)
}

// printFits says how much of a context fits where.
func printFits(line func(name, format string, args ...any), m doctor.Model) {
	line("model", "%s, %s: weights %s, %s, context %d", shown(m.Name), shown(m.Architecture), bytesize.Format(m.Weights), count(m.Layers, "layer"), m.Context)
	if m.Packed > 0 {
		line("", "where the CPU computes, %s of the weights are packed, into private memory; with --no-pack none are", bytesize.Format(m.Packed))
	}
	for _, kv := range m.KV {
		var places []string
		for _, f := range m.Fits {
			if f.Type == kv.Type {
				places = append(places, describeFit(f, m.Context))
			}
		}
		takes := bytesize.Format(kv.PerToken) + " a token"
		if kv.Windows > 0 {
			takes += fmt.Sprintf(", %s that do not grow, and %s a token behind the windows", bytesize.Format(kv.Windows), bytesize.Format(kv.Past))
		}
		line("", "K/V %-4s  %s", kv.Type, strings.Join(append([]string{takes}, places...), "; "))
	}
}

func describeFit(f doctor.Fit, context int) string {
	tokens := func(n int) string {
		if n == context {
			return "the whole context"
		}
		return count(n, "token")
	}
	text := fmt.Sprintf("%s holds %s", f.Device, tokens(f.Tokens))
	if f.Offloaded > f.Tokens {
		text += fmt.Sprintf(", %s offloaded", tokens(f.Offloaded))
	}
	return text
}

func printFindings(w io.Writer, d diagnosis) {
	fmt.Fprintln(w)
	if len(d.Findings) == 0 {
		fmt.Fprintln(w, "ebb can run here; there is nothing to fix.")
		return
	}
	verdict := "ebb can run here."
	switch {
	case !d.Runs && d.Libraries.Usable() && d.Kernels.Error == "":
		verdict = "ebb can run here, and not this model."
	case !d.Runs:
		verdict = "ebb cannot run here."
	}
	fmt.Fprintln(w, verdict, "To fix or to know:")
	for _, f := range d.Findings {
		fmt.Fprintf(w, "\n%-9s%s\n%-9s%s\n", f.Severity, f.What, "  do", f.Fix)
	}
}

// known returns what was read, or that it was not.
func known(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// formatRate writes bytes a second for a person.
func formatRate(perSecond float64) string {
	switch {
	case perSecond <= 0:
		return "at an unknown rate"
	case perSecond < 1e9:
		return fmt.Sprintf("%.0f MB/s", perSecond/1e6)
	default:
		return fmt.Sprintf("%.1f GB/s", perSecond/1e9)
	}
}
