# Everything that is made once and kept in the cache, under names that carry a hash of their inputs: a warm start builds nothing.
# shellcheck shell=bash

DEBIAN=bookworm
LEAN=(--dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*')
NODE_PACKAGES=nfs-common,nfs-kernel-server,containerd,runc,containernetworking-plugins,iptables,iproute2,kmod,conntrack,mount,util-linux,procps,busybox-static,iputils-ping,dropbear-bin

# The Kubernetes version is the one in kubernetes/go.mod, and nowhere else.
kubernetes_version() { awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$HERE/kubernetes/go.mod"; }

go_binary() { echo "$CACHE/$1-$(key "$HERE/$1"/{go.mod,go.sum,main.go} "$(go env GOVERSION)")"; }
kubernetes_binary() { go_binary kubernetes; }
coredns_binary() { go_binary coredns; }

# build_go NAME LDFLAGS : compiles the module $HERE/NAME into the cache.
build_go() {
	local out
	out=$(go_binary "$1")
	quietly "build-$1" env -C "$HERE/$1" CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags "$2" -o "$out.new" .
	mv "$out.new" "$out"
}

build_kubernetes() {
	[ ! -x "$(kubernetes_binary)" ] || return 0
	local v flags="-s -w" package
	v=$(kubernetes_version)
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags+=" -X $package.gitVersion=$v -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$v") -X $package.gitTreeState=clean"
	done
	say "building Kubernetes $v (about 5 minutes the first time)"
	build_go kubernetes "$flags"
}

# The helper of upstream's suites, from the same module.
agnhost_binary() { echo "$CACHE/agnhost-$(key "$HERE"/kubernetes/{go.mod,go.sum} "$(go env GOVERSION)")"; }

build_agnhost() {
	local out
	out=$(agnhost_binary)
	[ ! -x "$out" ] || return 0
	say "building agnhost (about 1 minute the first time)"
	quietly build-agnhost env -C "$HERE/kubernetes" CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w" -o "$out.new" k8s.io/kubernetes/test/images/agnhost
	mv "$out.new" "$out"
}

build_coredns() {
	[ ! -x "$(coredns_binary)" ] || return 0
	say "building CoreDNS (about 1 minute the first time)"
	build_go coredns "-s -w"
}

debian_tree() { echo "$CACHE/tree-$1-$(key "$DEBIAN" "${@:2}")"; }

# build_debian_tree NAME VARIANT PACKAGES : a tree of Debian packages. Variant "extract" only unpacks: for images with one program.
build_debian_tree() {
	local tree
	tree=$(debian_tree "$@")
	[ ! -d "$tree" ] || return 0
	say "fetching Debian packages for $1 (about 45 s the first time)"
	rm -rf "$tree.new"
	quietly "debian-$1" mmdebstrap --variant="$2" --aptopt='APT::Install-Recommends "false"' "${LEAN[@]}" --include="$3" "$DEBIAN" "$tree.new"
	mv "$tree.new" "$tree"
}

node_tree() { debian_tree node minbase "$NODE_PACKAGES"; }

# The archive drops old kernel packages: follow the metapackage. Its answer is kept with the files for starts without network.
guest_kernel() { cat "$CACHE/kernel/version"; }

kernel_package() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }'; }

build_kernel() {
	[ ! -e "$CACHE/kernel/version" ] || return 0
	local package dir=$CACHE/kernel.new
	rm -rf "$dir"
	mkdir -p "$dir"
	chmod 0755 "$dir"
	package=$(kernel_package)
	say "fetching the guest kernel $package"
	# A list of packages that is out of date names a kernel that is gone.
	if [ -z "$package" ] || ! env -C "$dir" apt-get download -q -o APT::Sandbox::User=root "$package" >/dev/null 2>&1; then
		quietly apt-update apt-get update -q
		package=$(kernel_package)
		[ -n "$package" ] || fail "no package linux-image-cloud-amd64 in this machine's apt sources; a Debian source is needed"
		quietly kernel env -C "$dir" apt-get download -q -o APT::Sandbox::User=root "$package"
	fi
	dpkg -x "$dir"/*.deb "$dir"
	rm "$dir"/*.deb
	depmod -b "$dir" "${package#linux-image-}"
	echo "${package#linux-image-}" >"$dir/version"
	rm -rf "$CACHE/kernel"
	mv "$dir" "$CACHE/kernel"
}

base_key() { key "$(basename -a "$(node_tree)" "$(kubernetes_binary)")" "$(guest_kernel)" "$HERE/node" "$(image_tars node)"; }
base_image() { echo "$CACHE/node-$(base_key).ext4"; }
initrd() { echo "$CACHE/initrd-$(key "$(guest_kernel)" "$HERE/node/initramfs-init").gz"; }

build_initrd() {
	local out tree modules m
	out=$(initrd)
	[ ! -e "$out" ] || return 0
	tree=$(scratch)
	modules=$CACHE/kernel/lib/modules/$(guest_kernel)/kernel/drivers
	mkdir -p "$tree/bin" "$tree/modules"
	cp "$(node_tree)/bin/busybox" "$tree/bin/"
	install -m 0755 "$HERE/node/initramfs-init" "$tree/init"
	for m in virtio/virtio virtio/virtio_ring virtio/virtio_pci_legacy_dev virtio/virtio_pci_modern_dev virtio/virtio_pci block/virtio_blk; do
		cp "$modules/$m.ko" "$tree/modules/"
	done
	(cd "$tree" && find . | "$tree/bin/busybox" cpio -o -H newc 2>/dev/null) | gzip -1 >"$out"
	rm -rf "$tree"
}

# The disk of every node: the Debian tree, kernel modules, Kubernetes and the images. What differs between nodes and clusters comes on a second disk.
build_base_image() {
	local out stage
	out=$(base_image)
	[ ! -e "$out" ] || return 0
	say "making the node image"
	stage=$CACHE/node.new
	rm -rf "$stage"
	cp -a --reflink=auto "$(node_tree)" "$stage"
	mkdir -p "$stage/lib/modules" "$stage/etc/containerd" "$stage/usr/local/lib/cluster" "$stage/etc/cluster"
	cp -a "$CACHE/kernel/lib/modules/$(guest_kernel)" "$stage/lib/modules/"
	install -m 0755 "$HERE/node/rc" "$HERE/node/service" "$stage/usr/local/lib/cluster/"
	install -m 0644 "$HERE/node/kubelet.yaml" "$stage/usr/local/lib/cluster/"
	install -m 0644 "$HERE/node/inittab" "$stage/etc/inittab"
	install -m 0644 "$HERE/node/containerd.toml" "$stage/etc/containerd/config.toml"
	install -m 0755 "$(kubernetes_binary)" "$stage/usr/local/bin/kubernetes"
	ln -sf /proc/self/mounts "$stage/etc/mtab" # without it rpc.mountd crashes and every mount from nfsd hangs
	printf '%032d\n' 1 >"$stage/etc/machine-id"
	seed_images "$stage"
	truncate -s 10G "$out.new"
	quietly node-image mke2fs -q -t ext4 -E lazy_itable_init=1,lazy_journal_init=1 -d "$stage" "$out.new"
	mv "$out.new" "$out"
	rm -rf "$stage"
}

# seed_images TREE : puts the images into TREE's containerd store with TREE's own containerd: importing inside an emulated guest is slow.
seed_images() {
	local tree=$1 dir pid tar
	dir=$(scratch)
	printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >"$dir/config.toml"
	PATH=$tree/usr/bin:$tree/usr/sbin:$PATH setpriv --pdeathsig TERM "$tree/usr/bin/containerd" --config "$dir/config.toml" --root "$tree/var/lib/containerd" --state "$dir/state" --address "$dir/socket" >"$CACHE/log/seed.log" 2>&1 </dev/null 8>&- 9>&- &
	pid=$!
	local ctr=("$tree/usr/bin/ctr" -a "$dir/socket" -n k8s.io)
	local deadline=$((SECONDS + 60))
	until "${ctr[@]}" version >/dev/null 2>&1; do
		if [ $SECONDS -ge $deadline ] || ! kill -0 $pid 2>/dev/null; then fail "containerd did not start, see $CACHE/log/seed.log"; fi
		sleep 0.1
	done
	for tar in $(image_tars node); do
		"${ctr[@]}" images import "$tar" >>"$CACHE/log/seed.log" 2>&1 || { kill $pid; fail "cannot import $tar, see $CACHE/log/seed.log"; }
	done
	kill $pid
	wait $pid || true
	rm -rf "$dir"
}

# Old entries go when no cluster is there that may use them.
prune() {
	local d keep f
	for d in "$CACHE_ROOT"/run/*/; do [ ! -d "$d" ] || return 0; done
	keep="$(kubernetes_binary) $(coredns_binary) $(agnhost_binary) $(base_image) $(initrd) $(node_tree) $(server_tree) $(mariadb_tree)"
	for f in "$CACHE"/{kubernetes,coredns,agnhost,node,initrd,tree}-*; do
		[ ! -e "$f" ] || grep -qwF "$f" <<<"$keep" || rm -rf "$f"
	done
}

# What images and nodes are made from. The network is busy with Debian while the processors are busy with Go.
build_inputs() {
	(build_kernel && build_debian_tree node minbase "$NODE_PACKAGES" && build_image_trees) &
	local trees=$!
	build_kubernetes
	build_coredns
	wait $trees || fail "the Debian part did not build"
}

build_all() {
	lock_cache
	build_inputs
	build_images node >/dev/null
	build_initrd
	build_base_image
	prune
	unlock_cache
}
