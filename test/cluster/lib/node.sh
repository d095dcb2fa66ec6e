# Nodes: QEMU guests with Debian's cloud kernel, which has the NFS client and server that this machine's kernel may lack.
# shellcheck shell=bash

node_ip() { echo "$NODE_PREFIX$1"; }

check_node() {
	case $1 in
	[1-9]) [ "$1" -le "$MAX_NODES" ] || fail "there is no node $1" ;;
	*) fail "a node is named by its number" ;;
	esac
}

# node_config N : the second disk of a node, a plain tar: who it is, and the secrets of this cluster.
node_config() {
	local dir=$RUN/node$1.config
	mkdir -p "$dir"
	echo "NODE=$1" >"$dir/node.env"
	cp "$RUN/pki/ca.crt" "$dir/ca.crt"
	cp "$RUN/pki/node$1.kubeconfig" "$dir/kubelet.kubeconfig"
	cp "$RUN/pki/kube-proxy.kubeconfig" "$dir/kube-proxy.kubeconfig"
	cp "$RUN/pki/ssh.pub" "$dir/authorized_keys"
	tar -C "$dir" --owner=root:0 --group=root:0 -cf "$RUN/node$1.tar" .
	rm -rf "$dir"
}

# Some virtual machines show /dev/kvm without a processor that can do it: guests then hang.
can_use_kvm() { grep -qwE 'vmx|svm' /proc/cpuinfo && (: <>/dev/kvm) 2>/dev/null; }

# has_disk N : the node was switched off, and the image that its disk begins with is still what nodes are made from.
has_disk() { [ -e "$RUN/node$1.qcow2" ] && qemu-img info -U "$RUN/node$1.qcow2" | grep -qF "$(base_image)"; }

# start_node N [fresh] : powers the node on, with a new disk if fresh.
start_node() {
	local n=$1 accel=(-accel "tcg,thread=multi,tb-size=512")
	[ -e "$RUN/pki/ssh" ] || make_pki
	! can_use_kvm || accel=(-accel kvm)
	say "starting node $n (${accel[1]%%,*})"
	add_tap "$n"
	node_config "$n"
	[ "${2:-}" != fresh ] || qemu-img create -q -f qcow2 -F raw -b "$(base_image)" "$RUN/node$n.qcow2"
	# Nothing here outlives the cluster: no cache is ever written through.
	start "node$n" qemu-system-x86_64 -name "$CLUSTER-node$n" -machine q35 "${accel[@]}" -cpu max -smp 2 -m "${NODE_MEMORY:-3G}" \
		-nodefaults -no-user-config -display none -no-reboot -serial "file:$RUN/log/node$n.console" \
		-kernel "$CACHE/kernel/boot/vmlinuz-$(guest_kernel)" -initrd "$(initrd)" -append "console=ttyS0 quiet mitigations=off nokaslr tsc=reliable" \
		-drive "if=none,id=d0,file=$RUN/node$n.qcow2,format=qcow2,cache=unsafe,aio=threads" -device virtio-blk-pci,drive=d0 \
		-drive "if=none,id=d1,file=$RUN/node$n.tar,format=raw,readonly=on" -device virtio-blk-pci,drive=d1 \
		-netdev "tap,id=n0,ifname=tap$n,script=no,downscript=no" -device "virtio-net-pci,netdev=n0,mac=52:54:00:77:00:1$n" \
		-device virtio-rng-pci
}

# wait_node N : until kubelet of this boot has reported Ready.
wait_node() {
	local n=$1 deadline=$((SECONDS + 600))
	say "waiting for node $n"
	until node_ready "$n"; do
		running "node$n" || fail "node $n stopped: see $RUN/log/node$n.log and $RUN/log/node$n.console"
		[ $SECONDS -lt $deadline ] || fail "node $n is not Ready after 10 minutes: see $RUN/log/node$n.console, and: $0 node $n 'tail /var/log/kubelet.log'"
		sleep 0.5
	done
}

# node_ready N : kubelet is ready, and of this boot: after a power cut the API server still shows what the last one said.
node_ready() {
	local state
	state=$(inside kubectl get node "node$1" -o "jsonpath={.status.conditions[?(@.type=='Ready')].status} {.status.nodeInfo.bootID}" 2>/dev/null)
	[ "${state%% *}" = True ] && [ "${state#* }" = "$(node_boot "$1")" ]
}

# wait_fresh_node N : the same for a node with a new disk, which then gets the images that were loaded into the others.
wait_fresh_node() {
	local tar
	wait_node "$1"
	for tar in "$RUN"/loaded/*; do [ ! -e "$tar" ] || load_into "$1" "$tar"; done
}

node_boot() { on_node "$1" cat /proc/sys/kernel/random/boot_id 2>/dev/null </dev/null || echo none; }

# on_node N CMD... : one shell command line as root on the node, with its exit code. The namespace has no other hosts that could answer.
on_node() {
	inside ssh -q -i "$RUN/pki/ssh" -o BatchMode=yes -o ConnectTimeout=30 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ServerAliveInterval=15 "root@$(node_ip "$1")" "${@:2}"
}

node_shell() {
	check_node "${1:?number of the node}"
	on_node "$@"
}

node_stop() {
	check_node "$1"
	stop "node$1"
}

node_start() {
	check_node "$1"
	[ -e "$RUN/node$1.qcow2" ] || fail "node $1 was never started; use: up --nodes $1"
	running "node$1" || start_node "$1"
	wait_node "$1"
}

node_reset() {
	check_node "$1"
	stop "node$1"
	start_node "$1" fresh
	wait_fresh_node "$1"
}

# load_images TAR... : into every running node, and again into nodes that are made or reset later.
load_images() {
	local tar name n pids=()
	[ $# -gt 0 ] || fail "load needs the path of an image tar"
	mkdir -p "$RUN/loaded"
	for tar in "$@"; do
		[ -r "$tar" ] || fail "no such file: $tar"
		name=$(basename "$tar")
		rm -f "$RUN/loaded/${name%-*}"-*.tar # earlier builds of the same image: their names end in another key
		cp --reflink=auto "$tar" "$RUN/loaded/$name"
	done
	for n in $(seq "$MAX_NODES"); do
		running "node$n" || continue
		(for tar in "$@"; do load_into "$n" "$tar"; done) &
		pids+=($!)
	done
	for n in "${pids[@]}"; do wait "$n" || fail "an image could not be loaded"; done
}

# load_into N TAR : the node fetches the tar by plain TCP; through ssh, deciphering it would take the emulated guest ten times as long.
load_into() {
	local n=$1 tar=$2 port=$((20000 + RANDOM % 10000)) server status=0
	say "loading $(basename "$tar") into node $n"
	nsenter --net="/run/netns/$NETNS" -- "$(node_tree)/bin/busybox" nc -l -p "$port" <"$tar" >/dev/null &
	server=$!
	wait_for 30 "image server" inside bash -c "ss -Hltn 'sport = :$port' | grep -q ."
	on_node "$n" "exec bash -c 'ctr -n k8s.io images import - </dev/tcp/$HOST_IP/$port'" >/dev/null </dev/null || status=1
	kill $server 2>/dev/null || true
	wait $server 2>/dev/null || true
	return $status
}
