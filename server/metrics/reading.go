package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
)

// Reading is what is read when somebody asks for the metrics.
type Reading struct {
	Running int  // HTTP requests that are answered
	Waiting int  // of these, those that wait until their model is loaded
	Loaded  bool // a model is
	// Of the model that is loaded:
	Service service.Stats
	Engine  ebb.Stats
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

const (
	gaugeKind   = prometheus.GaugeValue
	counterKind = prometheus.CounterValue
)

// gauges are the metrics that are read. Those of the service and the engine begin again when a model is
// loaded.
var gauges = []gauge{
	one(gaugeKind, "ebb_http_requests_running", "HTTP requests that are answered now.", func(r Reading) int { return r.Running }),
	one(gaugeKind, "ebb_model_waiters", "HTTP requests that wait until their model is loaded.", func(r Reading) int { return r.Waiting }),
	one(gaugeKind, "ebb_model_loaded", "1 if a model is loaded.", func(r Reading) int {
		if r.Loaded {
			return 1
		}
		return 0
	}),

	one(gaugeKind, "ebb_queue_requests", "Requests to the model that wait or are under way.", func(r Reading) int { return r.Service.Requests }),
	one(gaugeKind, "ebb_queue_places", "How many requests may wait or be under way.", func(r Reading) int { return r.Service.Queue }),
	some(counterKind, "ebb_answers_total", "Answers that have ended, by how.", "end", func(r Reading) []value {
		s := r.Service
		return []value{of(s.Answers-s.Cancelled-s.Failed, "whole"), of(s.Cancelled, "cancelled"), of(s.Failed, "failed")}
	}),
	one(counterKind, "ebb_prompt_tokens_total", "Tokens of prompts.", func(r Reading) int { return r.Service.Prompt }),
	some(counterKind, "ebb_cached_tokens_total", "Of the prompts' tokens, those that were not computed because they were kept, by where they were.", "tier", func(r Reading) []value {
		c := r.Service.Cached
		return []value{of(c.Device, "device"), of(c.Host, "host"), of(c.Disk, "disk")}
	}),
	one(counterKind, "ebb_new_tokens_total", "Tokens generated.", func(r Reading) int { return r.Service.New }),

	one(gaugeKind, "ebb_conversations", "Conversations that are kept.", func(r Reading) int { return r.Service.Conversations.Conversations }),
	one(gaugeKind, "ebb_conversations_in_files", "Conversations that are in files alone.", func(r Reading) int { return r.Service.Conversations.InFiles }),
	some(counterKind, "ebb_prompts_total", "Prompts, by what was there of them: continued goes on with a conversation, forked from the middle of one, restored with what files had, new from nothing.", "found", func(r Reading) []value {
		c := r.Service.Conversations
		return []value{of(c.Continued, "continued"), of(c.Forked, "forked"), of(c.Restored, "restored"), of(c.New, "new")}
	}),
	some(counterKind, "ebb_conversations_closed_total", "Conversations that were closed to make room, by what is left of them: files have those that are kept, and others are lost.", "end", func(r Reading) []value {
		c := r.Service.Conversations
		return []value{of(c.GivenUp-c.Lost, "kept"), of(c.Lost, "lost")}
	}),
	one(counterKind, "ebb_conversations_parked_total", "Conversations of answers that had to wait, and gave their memory to others.", func(r Reading) int { return r.Service.Conversations.Parked }),
	one(gaugeKind, "ebb_conversations_unwritten", "Conversations that have what files do not have yet.", func(r Reading) int { return r.Service.Conversations.Waiting }),

	some(gaugeKind, "ebb_files_bytes", "Bytes of the files of conversations, and how many they may be.", "of", func(r Reading) []value {
		f := r.Service.Conversations.Files
		return []value{of(f.Bytes, "files"), of(f.Limit, "limit")}
	}),
	some(counterKind, "ebb_files_moved_bytes_total", "Bytes of K/V and states that were written to the files of conversations, and read of them.", "direction", func(r Reading) []value {
		f := r.Service.Conversations.Files
		return []value{of(f.Written, "write"), of(f.Read, "read")}
	}),
	one(counterKind, "ebb_files_evicted_total", "Files of conversations that were removed to make room.", func(r Reading) int { return r.Service.Conversations.Files.Evicted }),
	some(counterKind, "ebb_files_errors_total", "What went wrong with files of conversations: damaged ones are removed and their tokens computed again, unwritten ones are tried again.", "reason", func(r Reading) []value {
		c := r.Service.Conversations
		return []value{of(c.Files.Damaged, "damaged"), of(c.Unwritten, "unwritten")}
	}),

	one(counterKind, "ebb_steps_total", "Steps of the engine.", func(r Reading) int { return r.Engine.Cache.Steps }),
	some(gaugeKind, "ebb_kv_bytes", "Bytes of K/V and states, by where they are.", "tier", func(r Reading) []value {
		c := r.Engine.Cache
		return []value{of(c.DeviceBytes, "device"), of(c.HostBytes, "host"), of(c.DiskBytes, "disk")}
	}),
	some(counterKind, "ebb_kv_moved_bytes_total", "Bytes of K/V that were moved: fetch is to the device, store off it, and restore from the files of conversations.", "direction", func(r Reading) []value {
		c := r.Engine.Cache
		return []value{of(c.FetchedBytes, "fetch"), of(c.StoredBytes, "store"), of(c.RestoredBytes, "restore")}
	}),
	one(counterKind, "ebb_kv_stall_seconds_total", "Time in which computing has waited for copies of K/V.", func(r Reading) float64 { return r.Engine.Cache.Stall.Seconds() }),
	some(gaugeKind, "ebb_layers", "Layers, by whether their K/V stay on the device or visit it.", "kind", func(r Reading) []value {
		c := r.Engine.Cache
		return []value{of(c.ResidentLayers, "resident"), of(c.StreamedLayers, "streamed")}
	}),
	one(counterKind, "ebb_layers_demoted_total", "Layers whose K/V have left the device for want of memory.", func(r Reading) int { return r.Engine.Cache.Demotions }),
	one(gaugeKind, "ebb_snapshots", "Snapshots of the states of recurrent layers.", func(r Reading) int { return r.Engine.Cache.Snapshots }),
	some(counterKind, "ebb_recomputed_tokens_total", "Tokens that were computed again, by why: state is that of recurrent layers, or rows behind windows, that were not kept; given_up is rows of answers that had to wait, and could not be written, or read again.", "reason", func(r Reading) []value {
		return []value{of(r.Engine.Cache.RecomputedTokens, "state"), of(r.Service.Batch.Again, "given_up")}
	}),
}
