package metrics_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/server/metrics"
)

// TestTheDashboardShowsWhatIsThere compares packaging/grafana with the metrics, both ways, and looks for those
// of docs/server.md.
func TestTheDashboardShowsWhatIsThere(t *testing.T) {
	dashboard, err := os.ReadFile("../../packaging/grafana/ebb.json")
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New()
	m.Request("GET /", 200) // it is there once it is counted
	var there []string
	for _, line := range ask(m.Handler(func() metrics.Reading { return metrics.Reading{} })) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok && strings.HasPrefix(name, "ebb_") {
			there = append(there, strings.Fields(name)[0])
		}
	}
	var named []string
	for _, name := range regexp.MustCompile(`\bebb_\w+`).FindAllString(string(dashboard), -1) {
		named = append(named, strings.TrimSuffix(name, "_bucket"))
	}
	page, err := os.ReadFile("../../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(regexp.MustCompile(`\bebb_\w+`).FindAllString(string(page), -1), named...) {
		if !slices.Contains(there, name) {
			t.Errorf("%s is no metric", name)
		}
	}
	for _, name := range there {
		// What is of use beside others alone.
		if !slices.Contains(named, name) && !slices.Contains([]string{"ebb_steps_total", "ebb_layers", "ebb_layers_demoted_total", "ebb_snapshots", "ebb_http_requests_running"}, name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}
