package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed4d217819/ebb/service"
)

// Metrics are those of one server. They may be used from many goroutines.
type Metrics struct {
	requests *prometheus.CounterVec
	first    prometheus.Histogram
	interval prometheus.Histogram
	whole    prometheus.Histogram
	step     prometheus.Histogram
}

// New returns metrics of which nothing is counted yet.
func New() *Metrics {
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	return &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ebb_http_requests_total", Help: "HTTP requests that have ended, by the pattern of their route and the class of their status."}, []string{"route", "status"}),
		first:    histogram("ebb_first_token_seconds", "From a request to the first new token of its answer.", 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500),
		interval: histogram("ebb_token_interval_seconds", "Time between two tokens of an answer, on average over the answer.", 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
		whole:    histogram("ebb_answer_seconds", "From a request to the end of its answer.", 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000),
		step:     histogram("ebb_step_seconds", "Time of a step of all answers together.", 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8),
	}
}

// Handler writes the metrics, and those of what read returns, in the formats of Prometheus.
func (m *Metrics) Handler(read func() Reading) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		m.requests, m.first, m.interval, m.whole, m.step, reader(read),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// Step counts a step. It is for [service.Options].
func (m *Metrics) Step(s service.Step) { m.step.Observe(s.Took.Seconds()) }

// Request counts a request that has ended. route is the pattern of its route, of which there are few;
// "": none.
func (m *Metrics) Request(route string, status int) {
	m.requests.WithLabelValues(route, strconv.Itoa(status/100)+"xx").Inc()
}

// Answers counts the answers to a request that has ended, and what they have taken together, in some
// time.
func (m *Metrics) Answers(u service.Usage, took time.Duration) {
	m.whole.Observe(took.Seconds())
	if u.FirstToken > 0 {
		m.first.Observe(u.FirstToken.Seconds())
	}
	if u.FirstToken > 0 && u.New > 1 {
		m.interval.Observe((u.LastToken - u.FirstToken).Seconds() / float64(u.New-1))
	}
}
