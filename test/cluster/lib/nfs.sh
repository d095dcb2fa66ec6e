# An NFS server outside the cluster: the nfs-server image, run in the cluster's network but not in Kubernetes.
# shellcheck shell=bash

nfs_host_start() {
	local home=$RUN/nfs-host dir=${1:-$RUN/nfs-host/exports} image
	running nfs-host && { say "nfs-host is already running"; return; }
	mkdir -p "$dir" "$home/root" "$home/state"
	image=$(image_tar nfs-server)
	[ -e "$home/root/entrypoint" ] || tar -xOf "$image" --wildcards '*/layer.tar' | tar -xf - -C "$home/root"
	# A mount and a process namespace of its own: with the first process, everything in it goes.
	start nfs-host unshare --mount --pid --fork --kill-child --propagation private "$HERE/lib/nfs-host-root" "$home/" "$(realpath "$dir")"
	wait_for 60 "NFS server on $HOST_IP" inside bash -c "exec 3<>/dev/tcp/$HOST_IP/2049"
	say "$dir is served as $HOST_IP:/exports (NFS 3, 4.0, 4.1, 4.2)"
}

nfs_host_stop() { stop nfs-host; }
