package metrics_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/server/metrics"
)

// TestTheDashboardAsksRightly reads the queries of packaging/grafana: a rate is that of a counter, and what is
// not one is a gauge; a quantile is of a histogram's buckets, summed by le; labels are those that the metric has.
func TestTheDashboardAsksRightly(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	data, err := os.ReadFile("../../packaging/grafana/ebb.json")
	if err == nil {
		err = json.Unmarshal(data, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := metrics.New()
	m.Request("GET /", 200)
	kinds, labels := map[string]string{}, map[string]string{}
	for _, line := range ask(m.Handler(func() metrics.Reading { return metrics.Reading{} })) {
		if fields := strings.Fields(line); len(fields) == 4 && fields[1] == "TYPE" {
			kinds[fields[2]] = fields[3]
		} else if name, rest, ok := strings.Cut(line, "{"); ok {
			labels[name] += rest
		}
	}
	const selector = `(ebb_\w+)\{job=~"\$job"\}`
	metric := regexp.MustCompile(selector)
	quantile := regexp.MustCompile(`^histogram_quantile\(0\.\d+, sum by \(le\) \(rate\(` + selector + `\[\$__rate_interval\]\)\)\)$`)
	sums := regexp.MustCompile(`sum(?: by \((\w+)\))? ?\((?:(?:rate|increase)\()?` + selector)
	queries := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries++
			expr := target.Expr
			if q := quantile.FindStringSubmatch(expr); q != nil {
				if name, ok := strings.CutSuffix(q[1], "_bucket"); !ok || kinds[name] != "histogram" {
					t.Errorf("%s: %s is not the buckets of a histogram", panel.Title, q[1])
				}
				continue
			}
			found := sums.FindAllStringSubmatch(expr, -1)
			if len(found) == 0 || len(found) != len(metric.FindAllString(expr, -1)) {
				t.Errorf("%s: each metric of %s is to be summed, or a quantile", panel.Title, expr)
			}
			for _, sum := range found {
				by, name := sum[1], sum[2]
				want := "gauge"
				if strings.Contains(sum[0], "rate(") || strings.Contains(sum[0], "increase(") {
					want = "counter"
				}
				if kinds[name] != want {
					t.Errorf("%s: %s of %s is a %s", panel.Title, expr, name, kinds[name])
				}
				if by != "" && !strings.Contains(labels[name], by+`="`) {
					t.Errorf("%s: %s has no label %s, and has %s", panel.Title, name, by, labels[name])
				}
			}
		}
	}
	if queries == 0 {
		t.Error("there are no queries")
	}
}

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
