package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

const (
	cpuExpertsFlag = "cpu-experts"
	allLayers      = "all" // its value where none is given
)

// registerCPUExperts registers the flag that says of how many layers the CPU computes the experts. Its
// value may be left out.
func registerCPUExperts(flags *pflag.FlagSet, into *int, help string) {
	flags.Var(&parsed[int]{into, "", "N", parseLayers}, cpuExpertsFlag, help)
	flags.Lookup(cpuExpertsFlag).NoOptDefVal = allLayers
}

// parseLayers reads a number of layers, or all.
func parseLayers(text string) (int, error) {
	if text == allLayers {
		return maxLayers, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, errors.New("want a number of layers from 0, or all")
	}
	return min(n, maxLayers), nil
}

// joinOptional joins a flag whose value may be left out with a number behind it, or with all: the
// parser takes such a value only after "=".
func joinOptional(args []string, flag string) (joined []string) {
	for i, arg := range args {
		if arg == "--" {
			return append(joined, args[i:]...)
		}
		_, err := strconv.Atoi(arg)
		if n := len(joined); n > 0 && joined[n-1] == flag && (err == nil || strings.EqualFold(arg, allLayers)) {
			joined[n-1] += "=" + strings.ToLower(arg)
			continue
		}
		joined = append(joined, arg)
	}
	return joined
}
