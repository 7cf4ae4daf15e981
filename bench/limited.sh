#!/usr/bin/env bash
# Compares ebb with llama.cpp where the K/V do not fit into memory, as bench/cmd/limited says:
#
#     bench/limited.sh [-m model.gguf] [--memory 300,700] [--context 32768] [--rounds 3] [--json FILE]
#
# Whatever ends it, the cgroup and the swap file are removed and the kernel's setting is put back.
set -euo pipefail

if [ "$(uname -s)" != Linux ] || [ "$(id -u)" != 0 ]; then
	echo "bench/limited.sh makes a memory cgroup and a swap file, which only root on Linux may do: run it as root" >&2
	exit 1
fi
root=$(cd "$(dirname "$0")/.." && pwd)
model=${XDG_CACHE_HOME:-$HOME/.cache}/ebb/models/SmolLM2-135M-Instruct.Q4_1.gguf
dir=/var/tmp
previous=
for arg in "$@"; do # what this script must know; the program checks all
	case $arg in
	--dir=*) dir=${arg#--dir=} ;;
	-m | --model | --model=* | -m?*) model= ;;
	esac
	if [ "$previous" = --dir ]; then dir=$arg; fi
	previous=$arg
done

exec 9>"$dir/ebb-limited.lock"
if ! flock -n 9; then
	echo "another bench/limited.sh uses $dir: wait for it, or name another folder with --dir" >&2
	exit 1
fi
mkdir -p "$root/bin"
version=$(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)
CGO_ENABLED=0 go -C "$root/bench" build -trimpath -ldflags "-X main.version=$version" -o "$root/bin/limited" ./cmd/limited
"$root/bin/limited" ${model:+-m "$model"} "$@" 9>&- &
driver=$!
clean() {
	if kill -TERM "$driver" 2>/dev/null; then wait "$driver" || true; fi
	"$root/bin/limited" clean --dir "$dir" 9>&-
	rm -f "$dir/ebb-limited.lock"
}
trap clean EXIT
trap 'exit 130' INT TERM HUP
wait "$driver"
