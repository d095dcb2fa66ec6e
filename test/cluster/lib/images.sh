# The local images, made from Debian packages and from Go, without a container engine or a registry.
# shellcheck shell=bash

IMAGES=$REPO/test/images
SERVER_PACKAGES=nfs-ganesha,nfs-ganesha-vfs,rpcbind,busybox-static
MARIADB_PACKAGES=mariadb-server-core,mariadb-client-core,busybox-static

server_tree() { debian_tree nfs-server extract "$SERVER_PACKAGES"; }
mariadb_tree() { debian_tree mariadb extract "$MARIADB_PACKAGES"; }

build_image_trees() {
	build_debian_tree nfs-server extract "$SERVER_PACKAGES"
	build_debian_tree mariadb extract "$MARIADB_PACKAGES"
}

# image_set SET : the images of a set.
image_set() {
	case $1 in
	node) echo pause busybox coredns nfs-server mariadb ;;
	e2e) echo busybox nfs-server mariadb ;; # what the scenarios of test/e2e need elsewhere
	conformance) echo e2e-busybox e2e-agnhost e2e-glibc-dns-testing e2e-nginx storage-hello-populator storage-volume-data-source-validator ;; # what the External.Storage suite runs, under upstream's names
	*) fail "there is no image set \"$1\"" ;;
	esac
}

# image_ref NAME : what pods call it.
image_ref() {
	case $1 in
	e2e-*) echo "registry.k8s.io/e2e-test-images/${1#e2e-}:$(upstream_tag "${1#e2e-}")" ;;
	storage-*) echo "registry.k8s.io/sig-storage/${1#storage-}:$(manifest_tag "${1#storage-}")" ;;
	*) echo "nfs-csi.test/$1:1" ;;
	esac
}

kubernetes_source() { (cd "$HERE/kubernetes" && go list -m -f '{{.Dir}}' k8s.io/kubernetes); }

# upstream_tag NAME : the tag that the storage suites of this release ask for; there may be others of the name.
upstream_tag() {
	local source constant
	source=$(kubernetes_source)/test/utils/image/manifest.go
	case $1 in
	busybox) constant=BusyBox ;;
	agnhost) constant=Agnhost ;;
	glibc-dns-testing) constant=GlibcDnsTesting ;;
	nginx) constant=Nginx ;;
	*) fail "no upstream image is called \"$1\" here" ;;
	esac
	awk -F'"' -v config="configs[$constant] " -v name="$1" 'index($0, config) && $2 == name { print $4 }' "$source"
}

# manifest_tag NAME : the tag in the manifests that the suite installs for volumes that somebody else than the driver fills.
manifest_tag() {
	local manifests tag
	manifests=$(kubernetes_source)/test/e2e/testing-manifests/storage-csi/any-volume-datasource
	tag=$(grep -rhoE "image: registry\.k8s\.io/sig-storage/$1:\S+" "$manifests" | sed 's/.*://')
	[ -n "$tag" ] || fail "no manifest below $manifests names an image \"$1\""
	echo "$tag"
}

# image_key NAME : what the image is made from. Cached files are named by their contents' hash: the name will do.
image_key() {
	local inputs=("$IMAGES/mkimage" "$(declare -f "fill_${1//-/_}" fill_busybox fill_base)" "$(basename "$(server_tree)")")
	case $1 in
	coredns) inputs+=("$(basename "$(coredns_binary)")") ;;
	nfs-server) inputs+=("$IMAGES/nfs-server") ;;
	mariadb) inputs+=("$(basename "$(mariadb_tree)")" "$IMAGES/mariadb") ;;
	pause) inputs+=("$IMAGES/pause") ;;
	e2e-agnhost) inputs+=("$(kubernetes_version)" "$(basename "$(agnhost_binary)")") ;;
	e2e-*) inputs+=("$(kubernetes_version)") ;;
	storage-*) inputs+=("$(kubernetes_version)" "$IMAGES/populator" "$REPO/go.sum" "$(declare -f fill_populator)") ;;
	esac
	key "${inputs[@]}"
}

image_tar() { echo "$CACHE/images/$1-$(image_key "$1").tar"; }
image_tars() { local name; for name in $(image_set "$1"); do image_tar "$name"; done; }

build_images() {
	local name
	build_image_trees
	case $1 in
	node) build_coredns ;;
	conformance) build_agnhost ;;
	esac
	for name in $(image_set "$1"); do build_image "$name"; done
	image_tars "$1"
}

# build_image NAME : fills a directory by fill_NAME, which leaves the image's configuration as mkimage flags in $flags.
build_image() {
	local name=$1 out root flags=()
	out=$(image_tar "$name")
	[ ! -e "$out" ] || return 0
	say "making the image $name"
	mkdir -p "$CACHE/images"
	root=$(scratch)
	chmod 0755 "$root"
	fill_base "$root"
	"fill_${name//-/_}" "$root"
	(cd "$REPO" && CGO_ENABLED=0 go build -buildvcs=false -o "$CACHE/mkimage" ./test/images/mkimage)
	rm -f "$CACHE/images/$name"-*.tar
	"$CACHE/mkimage" -o "$out.new" "${flags[@]}" "$(image_ref "$name")" "$root"
	mv "$out.new" "$out"
	rm -rf "$root"
}

fill_base() {
	mkdir -p "$1"/{etc,dev,proc,sys,run,var,root}
	mkdir -m 1777 "$1/tmp"
	printf 'root:x:0:0:root:/root:/bin/sh\n_rpc:x:102:65534::/run/rpcbind:/bin/false\nmysql:x:101:101::/var/lib/mysql:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
	printf 'root:x:0:\nmysql:x:101:\nnogroup:x:65534:\n' >"$1/etc/group"
}

fill_pause() {
	(cd "$REPO" && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w" -o "$1/pause" ./test/images/pause)
	flags=(-entrypoint /pause)
}

fill_busybox() {
	local applet
	mkdir -p "$1/bin"
	cp "$(server_tree)/bin/busybox" "$1/bin/busybox"
	for applet in $("$1/bin/busybox" --list); do [ -e "$1/bin/$applet" ] || ln -s busybox "$1/bin/$applet"; done
	flags=(-cmd sh)
}

fill_coredns() {
	cp "$(coredns_binary)" "$1/coredns"
	flags=(-entrypoint /coredns)
}

fill_nfs_server() {
	cp -a "$(server_tree)/." "$1/"
	fill_busybox "$1"
	mkdir -p "$1/exports" "$1/etc/ganesha" "$1/var/lib/nfs/ganesha"
	ln -sf /proc/self/mounts "$1/etc/mtab" # ganesha finds its file systems there
	[ -e "$1/var/run" ] || ln -s ../run "$1/var/run" # rpcbind's socket is looked for there
	rm -rf "$1"/usr/lib/python3* "$1"/usr/share/{perl*,python3*} "$1"/usr/lib/*-linux-gnu/{perl*,gconv} # half of the tree, for scripts that do not run
	printf 'tcp 6 TCP\nudp 17 UDP\n' >"$1/etc/protocols"
	printf 'sunrpc 111/tcp rpcbind\nsunrpc 111/udp rpcbind\n' >"$1/etc/services" # without it rpcbind listens nowhere
	install -m 0755 "$IMAGES/nfs-server/entrypoint" "$1/entrypoint"
	install -m 0644 "$IMAGES/nfs-server/ganesha.conf" "$1/etc/ganesha/ganesha.conf"
	flags=(-entrypoint /entrypoint)
}

fill_mariadb() {
	cp -a "$(mariadb_tree)/." "$1/"
	fill_busybox "$1"
	install -m 0755 "$IMAGES/mariadb/entrypoint" "$1/entrypoint"
	install -D -m 0644 "$IMAGES/mariadb/my.cnf" "$1/etc/mysql/my.cnf"
	install -d -o 101 -g 101 "$1/var/lib/mysql" "$1/run/mysqld" "$1/usr/share/mariadb-initial"
	# The system tables take minutes to make in an emulated guest.
	# shellcheck disable=SC2016 # expanded by the inner shell
	quietly mariadb-initial unshare --mount --uts --propagation private sh -c 'hostname localhost && mount --rbind /dev "$1/dev" && chroot "$1" mariadb-install-db \
		--user=mysql --cross-bootstrap --datadir=/usr/share/mariadb-initial --auth-root-authentication-method=normal --skip-test-db' sh "$1"
	rm -f "$1"/usr/share/mariadb-initial/{ib_buffer_pool,ddl_recovery*.log}
	flags=(-entrypoint /entrypoint -user 101:101)
}

fill_e2e_busybox() { fill_busybox "$1"; }

# Upstream's has a libc and more tools; the storage suites use only a shell, dd and sha256sum of it.
fill_e2e_glibc_dns_testing() { fill_busybox "$1"; }

# The storage suites run only its shell.
fill_e2e_nginx() { fill_busybox "$1"; }

fill_e2e_agnhost() {
	fill_busybox "$1"
	cp "$(agnhost_binary)" "$1/agnhost"
	flags=(-entrypoint /agnhost -cmd pause)
}

fill_storage_hello_populator() { fill_populator "$1" hello-populator; }
fill_storage_volume_data_source_validator() { fill_populator "$1" volume-data-source-validator; }

# fill_populator DIR PROGRAM : one program of ours that plays both.
fill_populator() {
	(cd "$REPO" && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w" -o "$1/populator" ./test/images/populator)
	flags=(-entrypoint "/populator,$2")
}
