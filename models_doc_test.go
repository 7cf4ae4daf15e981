package ebb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/plan"
)

// document returns a document of the module.
func document(t *testing.T, name ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(name...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// table returns the rows of the table whose header holds a column's name, each by the column's name.
func table(t *testing.T, text, column string) (rows []map[string]string) {
	t.Helper()
	var names []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "|") {
			if names != nil {
				return rows
			}
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		row := map[string]string{}
		for i, cell := range cells {
			cells[i] = strings.TrimSpace(cell)
			if names != nil {
				row[names[i]] = cells[i]
			}
		}
		switch {
		case names != nil && !strings.HasPrefix(line, "|---"):
			rows = append(rows, row)
		case names == nil && strings.Contains(line, "| "+column+" |"):
			names = cells
		}
	}
	t.Fatalf("no table has the column %q", column)
	return nil
}

// rowBytes returns what a token takes in layers that a document writes as layers × KV heads × dim.
func rowBytes(t *testing.T, shape string) int64 {
	t.Helper()
	var layers, heads, dim int
	if n, err := fmt.Sscanf(shape, "%d × %d × %d", &layers, &heads, &dim); n != 3 {
		t.Fatalf("%q: %v", shape, err)
	}
	one := kv.Shape{Heads: heads, KeyDim: dim, ValueDim: dim}
	f16, err := kv.ParseType("f16")
	if err != nil {
		t.Fatal(err)
	}
	return int64(layers) * one.Bytes(f16, f16)
}

func TestModelsDocSaysWhatTheCacheTakes(t *testing.T) {
	text := document(t, "docs", "models.md")
	size := func(n int64) string { return strings.Replace(bytesize.Format(n), ".0 ", " ", 1) }
	compare := func(row map[string]string, column string, want int64) {
		t.Helper()
		if got := row[column]; got != size(want) {
			t.Errorf("%s, %s: the document says %q, and it is %q", row["model"], column, got, size(want))
		}
	}
	const attending, recurrent = "attending layers × KV heads × dim", "recurrent layers × (memory + inputs)"
	const full, windowed, longest = "full layers × KV heads × dim", "layers with a window × KV heads × dim", 1 << 20
	alike, mixed := table(t, text, "layers × KV heads × dim"), table(t, text, full)
	for _, rows := range [][]map[string]string{alike, mixed, table(t, text, attending)} {
		for _, row := range rows {
			shape := row[full] + row[attending] + row["layers × KV heads × dim"] // a table has one of them
			token := rowBytes(t, shape)
			compare(row, "a token", token)
			compare(row, "32 Ki tokens", token<<15)
			compare(row, "128 Ki tokens", token<<17)
			if shape := row[windowed]; shape != "" {
				var window int
				if _, err := fmt.Sscan(row["window"], &window); err != nil {
					t.Fatalf("%s: %v", row["model"], err)
				}
				chunk := 512
				if strings.HasPrefix(row["model"], "Gemma 4 E") { // other layers share the rows in a whole step
					chunk = 4096
				}
				compare(row, "their rings", rowBytes(t, shape)*int64(plan.RingCells(window, chunk, longest)))
				compare(row, "behind them, a token", rowBytes(t, shape))
			}
			if states := row[recurrent]; states != "" {
				var layers, memory, inputs int
				if n, err := fmt.Sscanf(states, "%d × (%d + %d)", &layers, &memory, &inputs); n != 3 {
					t.Fatalf("%q: %v", states, err)
				}
				compare(row, "their states", int64(layers)*kv.Shape{State: memory + inputs}.StateBytes())
			}
		}
	}
}

func TestDocumentsNameEveryArchitecture(t *testing.T) {
	for _, name := range []string{"README.md", filepath.Join("docs", "models.md")} {
		text := document(t, name)
		for _, architecture := range ebb.Architectures() {
			if !strings.Contains(text, "`"+architecture+"`") {
				t.Errorf("%s says nothing of the architecture %s", name, architecture)
			}
		}
	}
}
