#!/bin/bash
# Writes archives that run where they are unpacked, without Go or any other tool, into bin/dist:
#
#   scripts/dist.sh VERSION PLATFORM...     platforms: linux-x64 linux-arm64 mac-arm64 win-x64
#
# Each has the binary, the ggml libraries beside it (where it looks for them), the licenses of all that is in
# it, and the README. LDFLAGS in the environment goes to the linker.
set -euo pipefail

version=$1
shift
out=bin/dist
mkdir -p "$out"
work=$(mktemp -d "$out/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# licenses FOLDER copies the licenses of Go and of the modules in the binary for GOOS and GOARCH.
licenses() {
	mkdir -p "$1"
	cp "$(go env GOROOT)/LICENSE" "$1/go.txt"
	go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Dir}}{{end}}{{end}}' ./cmd/ebb | sort -u |
		while read -r path dir; do
			found=
			for file in "$dir"/LICENSE* "$dir"/LICENCE* "$dir"/COPYING* "$dir"/NOTICE*; do
				[ -f "$file" ] || continue
				mkdir -p "$1/$path"
				cp "$file" "$1/$path"
				found=yes
			done
			[ -n "$found" ] || {
				echo "ebb: error: the module $path has no license file" >&2
				exit 1
			}
		done
	chmod -R u+w "$1" # files of the module cache may not be written
}

for platform in "$@"; do
	exe=ebb
	case $platform in
	linux-x64) GOOS=linux GOARCH=amd64 libraries=linux-x64-vulkan ;;
	linux-arm64) GOOS=linux GOARCH=arm64 libraries=linux-arm64 ;;
	mac-arm64) GOOS=darwin GOARCH=arm64 libraries=mac-arm64-metal ;;
	win-x64) GOOS=windows GOARCH=amd64 libraries=win-x64-vulkan exe=ebb.exe ;;
	*)
		echo "ebb: error: no platform $platform: want linux-x64, linux-arm64, mac-arm64 or win-x64" >&2
		exit 1
		;;
	esac
	export GOOS GOARCH
	name=ebb-$version-$platform
	dir=$work/$name
	scripts/fetch.sh platform "$libraries" "$dir"
	mkdir -p "$dir/licenses"
	mv "$dir/LICENSE" "$dir/licenses/node-llama-cpp.txt" # whose builds the libraries are
	cp scripts/licenses/llama.cpp.txt "$dir/licenses"    # of llama.cpp and ggml
	licenses "$dir/licenses"
	cp LICENSE README.md "$dir"
	go build -trimpath -ldflags "${LDFLAGS:-}" -o "$dir/$exe" ./cmd/ebb
	tar -czf "$work/$name.tar.gz" -C "$work" "$name"
	mv "$work/$name.tar.gz" "$out"
	rm -r "$dir"
	echo "ebb: $out/$name.tar.gz, $(($(wc -c <"$out/$name.tar.gz") / 1000000)) MB" >&2
done
