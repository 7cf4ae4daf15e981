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
	http.Handler // writes them in the formats of Prometheus

	requests *prometheus.CounterVec
	prompt   prometheus.Counter
	cached   prometheus.Counter
	tokens   prometheus.Counter
	first    prometheus.Histogram
	interval prometheus.Histogram
	whole    prometheus.Histogram
}

// New returns metrics. read is called when somebody asks for them.
func New(read func() Reading) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ebb_requests_total", Help: "HTTP requests that have ended, by the pattern of their route and the class of their status."}, []string{"route", "status"}),
		prompt:   counter("ebb_prompt_tokens_total", "Tokens of the prompts of answers that have ended."),
		cached:   counter("ebb_cached_tokens_total", "Of the prompts' tokens, those that were not computed because they were kept."),
		tokens:   counter("ebb_new_tokens_total", "Tokens generated, in answers that have ended."),
		first:    histogram("ebb_first_token_seconds", "From a request to the first new token of its answer.", 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500),
		interval: histogram("ebb_token_interval_seconds", "Time between two tokens of an answer, on average over the answer.", 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
		whole:    histogram("ebb_answer_seconds", "From a request to the end of its answer.", 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000),
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		m.requests, m.prompt, m.cached, m.tokens, m.first, m.interval, m.whole, reader(read),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.Handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return m
}

// Request counts a request that has ended. route is the pattern of its route, of which there are few;
// "": none.
func (m *Metrics) Request(route string, status int) {
	m.requests.WithLabelValues(route, strconv.Itoa(status/100)+"xx").Inc()
}

// Answers counts the answers to a request that has ended, and what they have taken together, in some
// time.
func (m *Metrics) Answers(u service.Usage, took time.Duration) {
	m.prompt.Add(float64(u.Prompt))
	m.cached.Add(float64(u.Cached))
	m.tokens.Add(float64(u.New))
	m.whole.Observe(took.Seconds())
	if u.FirstToken > 0 {
		m.first.Observe(u.FirstToken.Seconds())
	}
	if u.FirstToken > 0 && u.New > 1 {
		m.interval.Observe((took - u.FirstToken).Seconds() / float64(u.New-1))
	}
}
