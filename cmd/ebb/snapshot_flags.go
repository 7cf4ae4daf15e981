package main

import (
	"errors"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/kv"
)

// registerSnapshots registers the flags that say which states of recurrent layers are kept.
func registerSnapshots(flags *pflag.FlagSet, o *ebb.Options) {
	flags.Var(&parsed[int]{&o.SnapshotEvery, strconv.Itoa(kv.DefaultSnapshotEvery), "N", parseSnapshotEvery}, "snapshot-every",
		"Of models with recurrent layers: keep a snapshot of their state every `N` tokens off the device, besides those at the ends of prompts. A conversation that goes back computes again from the nearest one on. 0 keeps none every so many tokens.")
	flags.Var(&parsed[int64]{&o.SnapshotBytes, "", "SIZE", parseSnapshotMemory}, "snapshot-memory",
		"How much memory all snapshots may take together, or 0 for none; the least useful ones are given up. (default an eighth of the host memory that is free, and at least four snapshots of each sequence)")
}

// parseSnapshotEvery parses the value of --snapshot-every.
func parseSnapshotEvery(text string) (int, error) {
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 0:
		return 0, errors.New("want a number of tokens, or 0 for none")
	case n == 0:
		return ebb.NoSnapshots, nil
	}
	return n, nil
}

// parseSnapshotMemory parses the value of --snapshot-memory.
func parseSnapshotMemory(text string) (int64, error) {
	n, err := parseBudget(text)
	if err == nil && n == 0 {
		return ebb.NoSnapshots, nil
	}
	return n, err
}
