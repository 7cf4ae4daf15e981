#!/bin/sh
# Runs every fuzz test of the module for a short while: scripts/fuzz.sh [TIME], 20s each unless told otherwise.
set -eu
for file in $(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do
	for name in $(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/p' "$file"); do
		echo "== ${file%/*} $name" >&2
		go test -run '^$' -fuzz "^$name\$" -fuzztime "${1:-20s}" "${file%/*}"
	done
done
