#!/bin/bash
# Checks an archive of scripts/dist.sh for this machine: unpacked into an empty folder, with an empty home and
# without Go, it knows its version, finds its libraries beside itself, and runs a model.
#
#   scripts/dist_test.sh ARCHIVE
set -euo pipefail

model=$PWD/testdata/models/tiny-gqa.gguf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/home" "$work/unpacked"
tar -xzf "$1" -C "$work/unpacked"
dir=$(echo "$work"/unpacked/*)

ebb() { (cd "$work/home" && env -i HOME="$work/home" PATH=/usr/bin:/bin GGML_NO_BACKTRACE=1 "$dir/ebb" "$@"); }
fail() {
	echo "dist: $*" >&2
	exit 1
}

ebb version
report=$(ebb doctor) || fail "ebb doctor failed: $report"
grep -qF "in $dir" <<<"$report" || fail "the libraries are not those beside the binary: $report"
answer=$(ebb run -m "$model" --prompt-ids 22 --max-new-tokens 4 --output json)
grep -q '"ids":\[[0-9]*,[0-9]*,[0-9]*,[0-9]*\]' <<<"$answer" || fail "ebb run answered: $answer"
for file in LICENSE README.md licenses/llama.cpp.txt licenses/node-llama-cpp.txt licenses/go.txt licenses/github.com/ebitengine/purego/LICENSE; do
	[ -s "$dir/$file" ] || fail "$file is missing"
done
echo "dist: $(basename "$1") runs where it is unpacked"
