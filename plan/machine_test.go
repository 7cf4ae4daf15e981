package plan

import (
	"math"
	"strings"
	"testing"
)

// FuzzReadMachine keeps one promise for any bytes of a machine's file: an error, or a machine for which
// a plan has finite times.
func FuzzReadMachine(f *testing.F) {
	f.Add(`{"name":"x","device_memory_bytes":1073741824,"device_memory_rate":1e9,"host_memory_bytes":1073741824,"link_rate":1e8,"disk_rate":1e8}`)
	f.Add(`{"device_memory_bytes":9223372036854775807,"device_memory_rate":1,"host_memory_bytes":1,"link_rate":1e18,"disk_rate":1,"kv_rate":1,"step_seconds":3600,"unified":true}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ReadMachine(strings.NewReader(text))
		if err != nil {
			return
		}
		r := asked(1024)
		r.DeviceMemory, r.HostMemory, r.DiskMemory = min(m.DeviceMemory, 1<<40), min(m.HostMemory, 1<<40), 1<<40
		plan, err := r.On(m)
		if err != nil {
			return
		}
		for _, s := range []float64{plan.Full.Seconds, plan.Full.Expected.Seconds, plan.Full.PerSecond, plan.Full.Expected.PerSecond} {
			if !(s > 0) || math.IsInf(s, 1) {
				t.Errorf("%s: %+v, want finite times", text, plan.Full)
			}
		}
	})
}
