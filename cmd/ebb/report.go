package main

import (
	"fmt"
	"io"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/kv"
)

// printReport prints the speed of answers, and how much memory the cache took and how much it
// moved.
func printReport(w io.Writer, a *measured, engine *ebb.Engine) {
	stats := engine.Stats()
	s := stats.Cache
	begin, end := "", ""
	if dims(w) {
		begin, end = "\x1b[2m", "\x1b[0m" // dim: the answer is what matters
	}
	fmt.Fprint(w, "\n"+begin)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s  %s\n", name, fmt.Sprintf(format, args...))
	}
	line("prompt", "%s%s; the first new one after %s", count(a.prefilled, "token"), formatSpeed(a.prefillSpeed()), formatTime(a.firstToken))
	if a.tokens > 0 {
		most := ""
		if a.cut {
			most = " (the most allowed)"
		}
		switch {
		case a.texts > 1:
			most = fmt.Sprintf(" in %d texts", a.texts)
		case 0 < a.steps && a.steps < a.tokens:
			most += fmt.Sprintf(" in %d steps", a.steps)
		}
		line("answer", "%s%s%s; all after %s", count(a.tokens, "token"), most, formatSpeed(a.decodeSpeed()), formatTime(a.firstToken+a.decode))
	}
	switch d := a.draft; {
	case d.Drafted > 0:
		line("drafted", "%s by the model's own block, %d of them right (%.0f%%); its K/V took %s",
			count(d.Drafted, "token"), d.Accepted, 100*float64(d.Accepted)/float64(d.Drafted), bytesize.Format(d.Cache.DeviceBytesPeak))
	case d.Cache.Cells > 0 && a.tokens > 2:
		line("drafted", "nothing: K/V and states of drafted tokens found no room; raise --kv-memory or --device-memory, or draft fewer")
	}
	if len(stats.Devices) > 1 {
		line("devices", "%s", engine.Devices())
	}
	for _, d := range stats.Devices {
		if d.Threads.Lowered > 0 {
			line("threads", "%s", describeThreads(d.Threads))
		}
	}
	line("cache", "%v: %s", s.Policy, describeLayers(s))
	line("K/V", "%s", describePlaces(s))
	if s.RecurrentLayers > 0 {
		line("states", "%s a sequence in %s, %s on the device", bytesize.Format(s.StateBytes), count(s.RecurrentLayers, "recurrent layer"), bytesize.Format(s.StatesBytesPeak))
	}
	if s.StatesOffBytes > 0 {
		line("", "%s in host memory, from where they visit it layer by layer", bytesize.Format(s.StatesOffBytes))
	}
	if s.Snapshots > 0 {
		line("", "%s kept, %s off the device", count(s.Snapshots, "snapshot"), bytesize.Format(s.SnapshotBytes))
	}
	if s.RecomputedTokens > 0 {
		line("", "%s computed again, whose states were not kept", count(s.RecomputedTokens, "token"))
	}
	if s.WindowedLayers > 0 {
		line("", "%s a token, and %s that do not grow with the context", bytesize.Format(s.TokenBytes), bytesize.Format(s.WindowBytes))
	}
	switch {
	case s.StreamedLayers == 0 && s.FetchedBytes+s.StoredBytes == 0:
		line("moved", "nothing")
	case s.FetchedBytes+s.StoredBytes == 0:
		line("moved", "nothing: the CPU uses layers where they are")
	case s.StreamedLayers == 0 && s.StatesOffBytes == 0:
		line("moved", "%s behind windows, %s back", bytesize.Format(s.StoredBytes), bytesize.Format(s.FetchedBytes))
	default:
		line("moved", "%s to the device, %s back", bytesize.Format(s.FetchedBytes), bytesize.Format(s.StoredBytes))
		stall := s.Stall - a.beforeStall
		share := 0.0
		if total := a.firstToken + a.decode; total > 0 {
			share = 100 * stall.Seconds() / total.Seconds()
		}
		line("stalled", "%s waiting for copies, %.0f%% of the time", formatTime(stall), share)
	}
	fmt.Fprint(w, end)
}

// describePlaces says how much memory K/V have taken where.
func describePlaces(s kv.Stats) string {
	device := s.DeviceBytesPeak - s.StatesBytesPeak // states have a line of their own
	if s.DiskBytesPeak == 0 {
		off := max(0, s.HostBytesPeak-s.StatesOffBytes-s.SnapshotBytes)
		return fmt.Sprintf("%s on the device, %s off it", bytesize.Format(device), bytesize.Format(off))
	}
	among := ""
	if s.Snapshots > 0 {
		among = ", snapshots among them" // which of them lie where is not known here
	}
	return fmt.Sprintf("%s on the device, %s in host memory, %s on the disk%s",
		bytesize.Format(device), bytesize.Format(max(0, s.HostBytesPeak-s.StatesOffBytes)), bytesize.Format(s.DiskBytesPeak), among)
}

// describeThreads says how many threads a CPU went without, and for how long.
func describeThreads(s ebb.ThreadStats) string {
	return fmt.Sprintf("down to %d of %d for %.0f%% of the time: other programs use the cores",
		s.Least, s.Most, 100*s.Fewer.Seconds()/s.Time.Seconds())
}

// describeLayers says which layers stay on the device.
func describeLayers(s kv.Stats) string {
	layers, left := s.ResidentLayers+s.StreamedLayers, ""
	if s.WindowedLayers > 0 {
		left += fmt.Sprintf("; %d keep only a window there", s.WindowedLayers)
	}
	if s.RecurrentLayers > 0 {
		left += fmt.Sprintf("; %d carry a state and keep no K/V", s.RecurrentLayers)
	}
	if s.SharedLayers > 0 {
		left += fmt.Sprintf("; %d share the K/V of others", s.SharedLayers)
	}
	if s.Demotions > 0 {
		left += fmt.Sprintf("; %s left it meanwhile", count(s.Demotions, "layer"))
	}
	where := "visit it"
	switch s.HostLayers {
	case 0:
	case s.StreamedLayers:
		where = "are attended to there"
	default:
		where = fmt.Sprintf("visit it, but for %d that are attended to there", s.HostLayers)
	}
	switch {
	case s.StreamedLayers == 0:
		return fmt.Sprintf("all %d layers stay on the device%s", layers, left)
	case s.ResidentLayers == 0:
		return fmt.Sprintf("all %d layers live off the device and %s%s", layers, where, left)
	default:
		return fmt.Sprintf("%d of %d layers stay on the device, %d live off it and %s%s", s.ResidentLayers, layers, s.StreamedLayers, where, left)
	}
}

func speed(tokens int, t time.Duration) float64 {
	if tokens <= 0 || t <= 0 {
		return 0
	}
	return float64(tokens) / t.Seconds()
}

func formatSpeed(tokensPerSecond float64) string {
	switch {
	case tokensPerSecond == 0:
		return ""
	case tokensPerSecond < 10:
		return fmt.Sprintf(", %.2f tokens/s", tokensPerSecond)
	default:
		return fmt.Sprintf(", %.1f tokens/s", tokensPerSecond)
	}
}

func formatTime(t time.Duration) string {
	switch {
	case t < time.Second:
		return fmt.Sprintf("%.1f ms", float64(t)/float64(time.Millisecond))
	case t < time.Minute:
		return fmt.Sprintf("%.2f s", t.Seconds())
	default:
		return t.Round(time.Second).String()
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
