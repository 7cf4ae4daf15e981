#!/bin/sh
# Installs Mesa's software Vulkan driver, which the tests use as a GPU, where it is missing and may be installed.
# Elsewhere it says loudly what will be skipped, and succeeds: the tests that need the driver skip by themselves.
set -u

present() {
	ldconfig=$(command -v ldconfig || echo /sbin/ldconfig) # not on every user's PATH
	"$ldconfig" -p 2>/dev/null | grep -q 'libvulkan\.so\.1' || return 1
	for icd in /usr/share/vulkan/icd.d/lvp_icd* /usr/local/share/vulkan/icd.d/lvp_icd* /etc/vulkan/icd.d/lvp_icd*; do
		[ -e "$icd" ] && return 0
	done
	return 1
}

missing() {
	printf '\n!!!! ebb: no software Vulkan driver (%s): tests on the Vulkan device will be SKIPPED.\n' "$1" >&2
	printf '!!!! On Debian or Ubuntu: apt-get install mesa-vulkan-drivers libvulkan1\n\n' >&2
	exit 0
}

present && exit 0
[ "$(uname -s)" = Linux ] || missing "not on $(uname -s)"
command -v apt-get >/dev/null || missing 'no apt-get here'
[ "$(id -u)" = 0 ] || missing 'installing it needs root'

echo 'ebb: Vulkan: installing mesa-vulkan-drivers and libvulkan1 (about 50 MB)' >&2
export DEBIAN_FRONTEND=noninteractive
install() {
	apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends mesa-vulkan-drivers libvulkan1 </dev/null >&2
}
apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null >&2
install || missing 'apt-get could not install it'
present || missing 'installed, but not found'
echo 'ebb: Vulkan: done' >&2
