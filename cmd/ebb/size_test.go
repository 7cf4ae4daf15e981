package main

import (
	"strings"
	"testing"
)

func TestSizesAreReadInEveryAcceptedForm(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "65536": 65536, "7B": 7,
		"100k": 100 << 10, "100K": 100 << 10, "512MiB": 512 << 20, "512 MiB": 512 << 20, "2G": 2 << 30, "2gi": 2 << 30, "1T": 1 << 40,
		"1.5GiB": 3 << 29, "2GB": 2e9, "3kb": 3000, "5MB": 5e6,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "-5M", "M", "5x", "5 M 3", "0.2", "NaN", "inf", "1e30", "9999999T"} {
		if got, err := parseSize(text); err == nil || !strings.Contains(err.Error(), "512MiB") {
			t.Errorf("%q: %d, %v; want an error that says what is accepted", text, got, err)
		}
	}
}

func TestRatesMayEndInASecond(t *testing.T) {
	for text, want := range map[string]float64{"2GB/s": 2e9, "500MiB/s": 500 << 20, "1000000": 1e6, "1k": 1024} {
		if got, err := parseRate(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"/s", "0/s", "-1GB/s", "1GB/h"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}
