#!/bin/sh
# Prints the cache folder of ebb: the folder that Go's os.UserCacheDir names, where ebb itself looks for
# the libraries, and "ebb" below it.
set -eu

base=
case $(uname -s) in
Darwin) base=${HOME:+$HOME/Library/Caches} ;;
MINGW* | MSYS* | CYGWIN*) base=$(cygpath -u "${LOCALAPPDATA:?is not set, so there is no cache folder}") ;;
*)
	base=${XDG_CACHE_HOME:-}
	if [ -z "$base" ]; then base=${HOME:-$(eval echo "~$(id -un)")}/.cache; fi
	;;
esac
case $base in
/*) echo "$base/ebb" ;;
*)
	echo "ebb: error: the cache folder is \"$base\", which is not an absolute path: set XDG_CACHE_HOME (or HOME) to one" >&2
	exit 1
	;;
esac
