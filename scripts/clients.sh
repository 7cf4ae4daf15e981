#!/bin/sh
# Installs the clients that make test-clients drives into a folder of the cache: a Python environment with
# those of clients/python/requirements.txt, and, where apt-get and root are there, Debian's headless Chromium.
# Prints the environment variables that say where they are.
set -eu
cd "$(dirname "$0")/.."

dir=$(scripts/cache.sh)/clients
sum=$(cksum <clients/python/requirements.txt | tr ' ' -)
mkdir -p "$dir"
if [ ! -e "$dir/$sum" ]; then
	echo "ebb: clients: installing $(grep -c == clients/python/requirements.txt) packages for Python (about 60 MB)" >&2
	rm -rf "$dir/python"
	python3 -m venv "$dir/python" >&2 || { echo 'ebb: clients: Python has no venv: on Debian or Ubuntu, apt-get install python3-venv' >&2 && exit 1; }
	"$dir/python/bin/pip" -q --disable-pip-version-check install -r clients/python/requirements.txt >&2
	touch "$dir/$sum"
fi
echo "EBB_TEST_PYTHON=$dir/python/bin/python"

for browser in chromium-headless-shell chromium google-chrome; do
	command -v $browser >/dev/null && break
	browser=
done
if [ -z "$browser" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	echo 'ebb: clients: installing chromium-headless-shell (about 100 MB)' >&2
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null >&2
	apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends chromium-headless-shell </dev/null >&2
	browser=chromium-headless-shell
fi
[ -n "$browser" ] || { echo 'ebb: clients: no Chromium: on Debian or Ubuntu, apt-get install chromium-headless-shell' >&2 && exit 1; }
echo "EBB_TEST_CHROMIUM=$(command -v $browser)"
