# The Debian packages that the cluster needs on this machine.
# shellcheck shell=bash

# command=package; only missing ones are installed, and no service comes with any of them.
NEEDED="qemu-system-x86_64=qemu-system-x86 qemu-img=qemu-utils mmdebstrap=mmdebstrap openssl=openssl ip=iproute2 mke2fs=e2fsprogs depmod=kmod ssh=openssh-client flock=util-linux"

install_deps() {
	local pair missing=()
	command -v go >/dev/null || fail "Go is needed; see https://go.dev/dl"
	for pair in $NEEDED; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
	done
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing Debian packages: ${missing[*]}"
	quietly apt-update apt-get update -q
	quietly apt-install env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
}
