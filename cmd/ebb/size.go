package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const sizeForms = "want bytes, as in 65536, or with a unit, as in 100k, 512MiB or 2G (1024s) or 2GB (1000s)"

// units are the units of a size in bytes, in lower case.
var units = map[string]float64{
	"": 1, "b": 1,
	"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
	"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
}

// parseSize reads a number of bytes above 0.
func parseSize(text string) (int64, error) {
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	factor, ok := units[strings.ToLower(strings.TrimSpace(text[len(number):]))]
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if bytes := n * factor; ok && err == nil && bytes >= 1 && bytes < math.MaxInt64 {
		return int64(bytes), nil
	}
	return 0, fmt.Errorf("%s", sizeForms)
}

// parseBudget reads a number of bytes, or 0.
func parseBudget(text string) (int64, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n == 0 {
		return 0, nil
	}
	return parseSize(text)
}

// parseRate reads a number of bytes a second above 0.
func parseRate(text string) (float64, error) {
	n, err := parseSize(strings.TrimSuffix(text, "/s"))
	if err != nil {
		return 0, fmt.Errorf("%s; /s may follow", sizeForms)
	}
	return float64(n), nil
}
