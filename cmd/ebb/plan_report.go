package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

// planLine prints a line of a plan: a name, and what there is to say.
type planLine func(name, format string, args ...any)

// place prints how much of a memory some parts take.
func (l planLine) place(name string, of int64, parts ...barPart) {
	l(name, "%10s  %s", bytesize.Format(of), bar(of, parts...))
}

// print prints a plan for a person.
func (p planned) print(w io.Writer) error {
	var b bytes.Buffer
	line := planLine(func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%s\n", strings.TrimRight(fmt.Sprintf("%-13s%s", name, fmt.Sprintf(format, args...)), " "))
	})
	p.printContext(line)
	fmt.Fprintln(&b)
	p.printDevice(line)
	if f := p.forecast; f.Host+f.Disk > 0 {
		p.printOffDevice(line)
	}
	if text := p.growth(); text != "" {
		line("contexts", "%s", text)
	}

	fmt.Fprintln(&b)
	p.printDecode(line)
	if command := p.command(); command != "" {
		fmt.Fprintln(&b)
		line("run it with", "%s", command)
	}
	_, err := b.WriteTo(w)
	return err
}

// printContext says what is planned for.
func (p planned) printContext(line planLine) {
	f, r := p.forecast, p.request
	name := p.model.Name
	if name == "" {
		name = p.flags.model
	}
	kinds := r.Kinds()
	line("model", "%s: %s, %s, %s", shown(name), shown(p.model.Architecture), count(len(r.Layers), "layer"), bytesize.Format(r.Model.Weights))
	line("machine", "%s", shown(p.machine.Name))
	if p.flags.machine == "" { // a machine's file has its sources, and so has JSON
		for _, s := range p.machine.Sources {
			line("", "%s", s)
		}
	}
	sequences := ""
	if f.Sequences > 1 {
		sequences = fmt.Sprintf(" in each of %d sequences", f.Sequences)
	}
	if p.flags.beams > 1 {
		sequences += fmt.Sprintf(", for %d beams together", p.flags.beams)
	}
	past := f.HostPast + f.DiskPast
	states := f.Placement.StatesBytes() * int64(f.Sequences)
	line("context", "%s%s, K/V in %s: %s", count(f.Context, "token"), sequences, p.flags.kvType, bytesize.Format(f.Placement.TreeBytes*int64(f.Sequences)-states+f.Host+f.Disk-past))
	if !alike(kinds) {
		line("", "%s", describeKinds(kinds))
	}
	if past > 0 {
		line("", "%s more behind the windows, off the device: steps do not read them", bytesize.Format(past))
	}
	if f.Context > p.model.Context {
		line("", "the model was made for %d: beyond those its text may get worse", p.model.Context)
	}
}

// growth says up to which contexts all layers stay, and from where the others stream beyond that.
func (p planned) growth() string {
	g := p.forecast.Growth
	text := "no context keeps all layers on the device"
	if g.Resident > 0 {
		text = fmt.Sprintf("all layers stay up to %d tokens", g.Resident)
	}
	switch {
	case g.Most <= g.Resident:
		return text + ", and no more fit"
	case g.NoDisk > g.Resident && g.Most > g.NoDisk:
		return fmt.Sprintf("%s; up to %d some stream from host memory, and up to %d from the disk too", text, g.NoDisk, g.Most)
	case g.NoDisk > g.Resident:
		return fmt.Sprintf("%s; up to %d some stream from host memory", text, g.NoDisk)
	default:
		return fmt.Sprintf("%s; up to %d some stream from the disk", text, g.Most)
	}
}

// onDisk says which K/V are in files.
func (p planned) onDisk() string {
	f := p.forecast
	if p.request.HostMemory == 0 {
		return fmt.Sprintf("%s of %d tokens", count(f.Placement.Streamed, "layer"), f.Context)
	}
	return fmt.Sprintf("the same layers of the %d tokens after those", max(0, f.Context-f.HostCells))
}

// layers draws the layers in order, each by the letter of its kind.
func (p planned) layers() string {
	const most = 128
	var b strings.Builder
	at := p.forecast.Placement
	for l, layer := range p.request.Layers[:min(most, len(p.request.Layers))] {
		switch {
		case layer.Shares:
			b.WriteByte('-')
		case layer.StateBytes > 0:
			b.WriteByte('r')
		case layer.NoRows:
			b.WriteByte('.')
		case at.Rings[l] > 0:
			b.WriteByte('w')
		case at.Resident[l]:
			b.WriteByte('R')
		default:
			b.WriteByte('s')
		}
	}
	if len(p.request.Layers) > most {
		b.WriteString("…")
	}
	return b.String()
}

// past says of which tokens host memory keeps what is behind windows.
func (p planned) past(k plan.Kinds) string {
	f, last := p.forecast, ""
	if f.PastCells < f.Placement.Cells {
		last = "the last "
	}
	return fmt.Sprintf("%s of %s%d tokens", count(k.Windowed, "layer"), last, min(f.HostCells, f.PastCells, f.Context))
}

// legend says what the letters of layers mean.
func (p planned) legend(k plan.Kinds) string {
	var parts []string
	streamed := p.forecast.Placement.Streamed
	if k.Full > streamed || alike(k) {
		parts = append(parts, "R stays on the device")
	}
	if streamed > 0 {
		parts = append(parts, "s streams")
	}
	if k.Windowed > 0 {
		parts = append(parts, "w keeps a window there")
	}
	if k.Shared > 0 {
		parts = append(parts, "- shares K/V")
	}
	switch {
	case k.Recurrent == 0:
	case p.forecast.HostStates > 0:
		parts = append(parts, "r has a state, which streams")
	default:
		parts = append(parts, "r has its state there")
	}
	if k.Plain > 0 {
		parts = append(parts, ". keeps nothing")
	}
	return strings.Join(parts, ", ")
}

// printDecode prints how long a step takes at two depths: as it is expected, and at least.
func (p planned) printDecode(line planLine) {
	half, full := p.forecast.Half, p.forecast.Full
	line("decoding", "%14s%14s%14s", fmt.Sprintf("after %d", half.Depth), fmt.Sprintf("after %d", full.Depth), "at best")
	row := func(name string, of func(plan.Expected) float64, best float64, note string) {
		line(name, "%14s%14s%14s  %s", formatSeconds(of(half.Expected)), formatSeconds(of(full.Expected)), formatSeconds(best), note)
	}
	row("  compute", func(e plan.Expected) float64 { return e.Compute }, full.Compute, p.computing())
	if full.Experts > 0 {
		row("  experts", func(e plan.Expected) float64 { return e.Experts }, full.Experts, "of that, on the CPU")
	}
	if full.Moved > 0 {
		row("  link", func(e plan.Expected) float64 { return e.Link }, full.Link, fmt.Sprintf("%s at %s", bytesize.Format(full.Moved), formatRate(p.machine.LinkRate)))
	}
	if full.FromDisk > 0 {
		row("  disk", func(e plan.Expected) float64 { return e.Disk }, full.Disk, fmt.Sprintf("%s at %s", bytesize.Format(full.FromDisk), formatRate(p.machine.DiskRate)))
	}
	overlap := ""
	switch {
	case full.Serial:
		overlap = "one after the other: there is one slot"
	case full.FromDisk > 0 && full.Moved > 0:
		overlap = "the longest one, and what does not overlap"
	case full.Moved+full.FromDisk > 0:
		overlap = "the longer one, and what does not overlap"
	}
	row("  a step", func(e plan.Expected) float64 { return e.Seconds }, full.Seconds, overlap)
	line("  tokens/s", "%14.1f%14.1f%14.1f", half.Expected.PerSecond, full.Expected.PerSecond, full.PerSecond)
	line("  limited by", "%14s%14s%14s", half.Expected.LimitedBy, full.Expected.LimitedBy, full.LimitedBy)
}

// computing says at which rates the device reads.
func (p planned) computing() string {
	c := p.machine.Assumed()
	return fmt.Sprintf("weights at %s, K/V at %s; at best %s", formatRate(c.WeightRate), formatRate(c.KVRate), formatRate(p.machine.DeviceRate))
}

// formatSeconds writes a time in milliseconds.
func formatSeconds(s float64) string { return fmt.Sprintf("%.1f ms", s*1e3) }

// command returns the command that runs what was planned, for one sequence. The default policy does
// where all layers stay; where some stream it would let them leave as the cache grows, and keep room to
// move the others.
func (p planned) command() string {
	f, r := p.forecast, p.request
	if f.Sequences > 1 {
		return ""
	}
	words := []string{"ebb run -m", quoted(p.flags.model)}
	device := p.device
	if device == "" && !p.machine.Unified {
		device = "DEVICE"
	}
	if device != "" && device != "cpu" {
		words = append(words, "--device "+device)
	}
	if r.CPUExperts.Layers > 0 {
		words = append(words, p.expertsFlag())
	}
	words = append(words, fmt.Sprintf("--context %d", f.Context))
	if p.flags.kvType != "f16" {
		words = append(words, "--kv-type "+p.flags.kvType)
	}
	if p.flags.beams > 1 {
		words = append(words, fmt.Sprintf("--num-beams %d", p.flags.beams))
	}
	if p.flags.mtp > 0 {
		words = append(words, fmt.Sprintf("--mtp %d", p.flags.mtp))
	}
	if p.flags.threads > 0 {
		words = append(words, fmt.Sprintf("--threads %d", p.flags.threads))
	}
	if f.Placement.Streamed > 0 {
		words = append(words, "--cache offloaded")
	}
	if r.WindowRows != 0 {
		words = append(words, fmt.Sprintf("--window-rows %d", max(0, r.WindowRows)))
	}
	if f.Placement.Streamed > 0 || p.flags.deviceMemory > 0 {
		words = append(words, "--device-memory "+sizeFlag(r.DeviceMemory))
	}
	if f.Placement.Streamed > 0 && f.Placement.Slots != kv.DefaultSlots {
		words = append(words, fmt.Sprintf("--slots %d", f.Placement.Slots))
	}
	if f.Disk > 0 || p.machine.Unified && f.Placement.Streamed > 0 { // without a disk a CPU copies nothing
		place := p.flags.disk.dir
		if p.flags.disk.bytes > 0 {
			place += ":" + sizeFlag(p.flags.disk.bytes)
		}
		words = append(words, "--disk "+quoted(place), "--host-memory "+sizeFlag(r.HostMemory))
	}
	return strings.Join(words, " ")
}

// quoted returns a word as a shell takes it.
func quoted(word string) string {
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-:@+=,") == "" && word != "" {
		return word
	}
	return "'" + strings.ReplaceAll(shown(word), "'", `'\''`) + "'"
}
