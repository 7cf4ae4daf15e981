package metrics_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/server/metrics"
	"github.com/seed4d217819/ebb/service"
)

// ask returns the lines of metrics.
func ask(m http.Handler) []string {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return strings.Split(w.Body.String(), "\n")
}

func Example() {
	m := metrics.New()
	m.Request("POST /v1/chat/completions", 200)
	h := m.Handler(func() metrics.Reading {
		return metrics.Reading{
			Service: service.Stats{Prompt: 100, Cached: service.Tiers{Host: 90}},
			Engine:  ebb.Stats{Cache: kv.Stats{HostBytes: 4096}},
		}
	})
	for _, line := range ask(h) {
		if strings.HasPrefix(line, "ebb_kv_bytes") || strings.HasPrefix(line, "ebb_cached") || strings.HasPrefix(line, "ebb_http_requests_total") {
			fmt.Println(line)
		}
	}
	// Output:
	// ebb_cached_tokens_total{tier="device"} 0
	// ebb_cached_tokens_total{tier="disk"} 0
	// ebb_cached_tokens_total{tier="host"} 90
	// ebb_http_requests_total{route="POST /v1/chat/completions",status="2xx"} 1
	// ebb_kv_bytes{tier="device"} 0
	// ebb_kv_bytes{tier="disk"} 0
	// ebb_kv_bytes{tier="host"} 4096
}

func TestTimesOfAnswers(t *testing.T) {
	m := metrics.New()
	m.Answers(service.Usage{New: 11, FirstToken: time.Second, LastToken: 2 * time.Second}, 2*time.Second) // 0.1 s a token
	m.Answers(service.Usage{New: 1, FirstToken: time.Second, LastToken: time.Second}, 2*time.Second)      // there is no time between tokens
	m.Answers(service.Usage{}, 2*time.Second)                                                             // cancelled in its prompt
	m.Step(service.Step{Took: time.Second / 2})
	got := strings.Join(ask(m.Handler(func() metrics.Reading { return metrics.Reading{} })), "\n")
	for _, want := range []string{
		"ebb_answer_seconds_count 3", "ebb_answer_seconds_sum 6", "ebb_first_token_seconds_count 2", "ebb_first_token_seconds_sum 2",
		"ebb_token_interval_seconds_count 1", "ebb_token_interval_seconds_sum 0.1\n", "ebb_model_loaded 0", "ebb_step_seconds_sum 0.5",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
}
