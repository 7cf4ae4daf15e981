package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed4d217819/ebb"
)

// Reading is what is read when somebody asks for the metrics.
type Reading struct {
	Running int       // requests that are answered
	Waiting int       // requests that wait until their model is loaded
	Loaded  bool      // a model is
	Engine  ebb.Stats // of the model that is loaded
}

// gauge is a metric that is read.
type gauge struct {
	*prometheus.Desc
	kind   prometheus.ValueType
	values func(Reading) []value
}

// value is one value of a metric, and the value of its label.
type value struct {
	number float64
	label  []string
}

// reader collects what it reads.
type reader func() Reading

// Describe implements [prometheus.Collector].
func (r reader) Describe(to chan<- *prometheus.Desc) {
	for _, g := range gauges {
		to <- g.Desc
	}
}

// Collect implements [prometheus.Collector].
func (r reader) Collect(to chan<- prometheus.Metric) {
	reading := r()
	for _, g := range gauges {
		for _, v := range g.values(reading) {
			to <- prometheus.MustNewConstMetric(g.Desc, g.kind, v.number, v.label...)
		}
	}
}

// one has a metric without a label.
func one[N int | int64 | float64](kind prometheus.ValueType, name, help string, read func(Reading) N) gauge {
	return gauge{prometheus.NewDesc(name, help, nil, nil), kind, func(r Reading) []value {
		return []value{{number: float64(read(r))}}
	}}
}

// some has a metric with a label.
func some(kind prometheus.ValueType, name, help, label string, read func(Reading) []value) gauge {
	return gauge{prometheus.NewDesc(name, help, []string{label}, nil), kind, read}
}

func of[N int | int64](number N, label string) value {
	return value{float64(number), []string{label}}
}

// gauges are the metrics that are read. Those of the engine begin again when a model is loaded.
var gauges = []gauge{
	one(prometheus.GaugeValue, "ebb_requests_running", "Requests that are answered now.", func(r Reading) int { return r.Running }),
	one(prometheus.GaugeValue, "ebb_requests_waiting_for_model", "Requests that wait until their model is loaded.", func(r Reading) int { return r.Waiting }),
	one(prometheus.GaugeValue, "ebb_model_loaded", "1 if a model is loaded.", func(r Reading) int {
		if r.Loaded {
			return 1
		}
		return 0
	}),
	one(prometheus.CounterValue, "ebb_steps_total", "Steps of the engine.", func(r Reading) int { return r.Engine.Cache.Steps }),
	some(prometheus.GaugeValue, "ebb_kv_bytes", "Bytes of K/V and states, by where they are.", "tier", func(r Reading) []value {
		c := r.Engine.Cache
		return []value{of(c.DeviceBytes, "device"), of(c.HostBytes, "host"), of(c.DiskBytes, "disk")}
	}),
	some(prometheus.CounterValue, "ebb_kv_moved_bytes_total", "Bytes of K/V that were moved: fetch is to the device, store off it, and restore from the files of conversations.", "direction", func(r Reading) []value {
		c := r.Engine.Cache
		return []value{of(c.FetchedBytes, "fetch"), of(c.StoredBytes, "store"), of(c.RestoredBytes, "restore")}
	}),
	one(prometheus.CounterValue, "ebb_kv_stall_seconds_total", "Time in which computing has waited for copies of K/V.", func(r Reading) float64 { return r.Engine.Cache.Stall.Seconds() }),
	some(prometheus.GaugeValue, "ebb_layers", "Layers, by whether their K/V stay on the device or visit it.", "kind", func(r Reading) []value {
		c := r.Engine.Cache
		return []value{of(c.ResidentLayers, "resident"), of(c.StreamedLayers, "streamed")}
	}),
	one(prometheus.CounterValue, "ebb_layers_demoted_total", "Layers whose K/V have left the device for want of memory.", func(r Reading) int { return r.Engine.Cache.Demotions }),
	one(prometheus.GaugeValue, "ebb_snapshots", "Snapshots of the states of recurrent layers.", func(r Reading) int { return r.Engine.Cache.Snapshots }),
}
