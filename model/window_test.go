package model

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/seed4d217819/ebb/gguf"
)

func TestAWindowOfAllLayers(t *testing.T) {
	for _, test := range []struct {
		window any
		want   int
		fault  string
	}{
		{nil, 0, ""},
		{uint32(0), 0, ""},
		{uint32(8), 8, ""},
		{uint32(2047), 2047, ""},
		{uint32(2048), 0, ""}, // as many tokens as the context has
		{uint32(262144), 0, ""},
		{int32(-1), 0, "attention.sliding_window is -1: want a whole number from 1"},
		{"8", 0, "attention.sliding_window"},
	} {
		meta := []gguf.KV{{Key: "general.architecture", Value: "x"}, {Key: "x.context_length", Value: uint32(2048)}}
		if test.window != nil {
			meta = append(meta, gguf.KV{Key: "x.attention.sliding_window", Value: test.window})
		}
		var file bytes.Buffer
		if err := gguf.Write(&file, meta, nil); err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Parse(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		l, all := newHeader(f), make([]Layer, 2)
		l.SameWindow(all)
		if err := l.Err(); (err != nil) != (test.fault != "") || err != nil && !strings.Contains(err.Error(), test.fault) {
			t.Errorf("window %v: got the error %v, want one with %q", test.window, err, test.fault)
		}
		if all[0].Window != test.want || all[1].Window != test.want {
			t.Errorf("window %v: got %d and %d, want %d", test.window, all[0].Window, all[1].Window, test.want)
		}
	}
}

func TestWindowsFollowThePattern(t *testing.T) {
	const layers = 5
	for _, test := range []struct {
		what    string
		window  any
		pattern any
		every   int
		want    []int
		fault   string
	}{
		{"no window", nil, nil, 2, []int{0, 0, 0, 0, 0}, ""},
		{"the architecture's pattern", 512, nil, 2, []int{512, 0, 512, 0, 512}, ""},
		{"a pattern longer than the layers", 512, nil, 6, []int{512, 512, 512, 512, 512}, ""},
		{"no pattern where there must be one", 512, nil, 0, nil, "attention.sliding_window_pattern is missing"},
		{"a number", 8, 3, 2, []int{8, 8, 0, 8, 8}, ""},
		{"an array", 8, []bool{true, false, false, true, true}, 2, []int{8, 0, 0, 8, 8}, ""},
		{"a window of no tokens", 0, nil, 2, nil, "attention.sliding_window is 0: want a whole number from 1"},
		{"a window of a token less than none", -1, nil, 2, nil, "attention.sliding_window is -1: want a whole number from 1"},
		{"a window of text", "8", nil, 2, nil, "attention.sliding_window"},
		{"an array that is too long", 8, []bool{true, false, false, true, true, true}, 2, nil, "attention.sliding_window_pattern has 6 values: want one for each of the 5 layers"},
		{"an array that is too short", 8, []bool{true}, 2, nil, "attention.sliding_window_pattern has 1 values: want one for each of the 5 layers"},
		{"an array of numbers", 8, []int64{1, 2, 0, 1, 1}, 2, nil, "attention.sliding_window_pattern"},
		{"a number that is none", 8, 0, 2, nil, "attention.sliding_window_pattern is 0: want a whole number from 1"},
	} {
		meta := []gguf.KV{{Key: "general.architecture", Value: "x"}}
		for name, value := range map[string]any{"attention.sliding_window": test.window, "attention.sliding_window_pattern": test.pattern} {
			if n, ok := value.(int); ok {
				value = int64(n)
			}
			if value != nil {
				meta = append(meta, gguf.KV{Key: "x." + name, Value: value})
			}
		}
		var file bytes.Buffer
		if err := gguf.Write(&file, meta, nil); err != nil {
			t.Fatal(err)
		}
		f, err := gguf.Parse(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		l, all := newHeader(f), make([]Layer, layers)
		l.Windows(all, test.every)
		if test.fault != "" {
			if err := l.Err(); err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%s: got the error %v, want one with %q", test.what, err, test.fault)
			}
			continue
		}
		var got []int
		for _, a := range all {
			got = append(got, a.Window)
		}
		if err := l.Err(); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s: got the windows %v and the error %v, want %v", test.what, got, err, test.want)
		}
	}
}
