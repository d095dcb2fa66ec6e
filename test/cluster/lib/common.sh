# Names, paths and small tools of all parts. Sourced by ../cluster.
# shellcheck shell=bash disable=SC2034

CLUSTER=${CLUSTER:-nfs-csi}
MAX_NODES=2
CACHE_ROOT=${XDG_CACHE_HOME:-$HOME/.cache}/nfs-csi
CACHE=$CACHE_ROOT/cluster
RUN=$CACHE_ROOT/run/$CLUSTER
NETNS=$CLUSTER
REPO=$(cd "$HERE/../.." && pwd)
STARTED=$(date +%s)

# The cluster's own addresses: all of them exist only inside its network namespace.
HOST_IP=10.77.0.1          # the control plane and nfs-host
NODE_PREFIX=10.77.0.1      # node N is 10.77.0.1N
SERVICE_CIDR=10.96.0.0/16
POD_CIDR=10.244.0.0/16     # node N has 10.244.N.0/24

case $CLUSTER in
*[!a-z0-9-]* | -* | '') echo "CLUSTER must be a name of lower-case letters, digits and dashes" >&2; exit 2 ;;
esac

say() { printf '[%4d s] %s\n' $(($(date +%s) - STARTED)) "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# key ARG... : a short hash of the files, directories (every file below) and words given.
key() {
	local arg
	for arg in "$@"; do
		if [ -d "$arg" ]; then
			(cd "$arg" && find . -type f -print0 | sort -z | xargs -0 sha256sum)
		elif [ -f "$arg" ]; then
			sha256sum <"$arg"
		else
			echo "$arg"
		fi
	done | sha256sum | cut -c1-16
}

# quietly NAME CMD... : run CMD with its output in a log, shown when it fails.
quietly() {
	local name=$1 log=$CACHE/log/$1.log
	shift
	mkdir -p "$CACHE/log"
	"$@" >"$log" 2>&1 </dev/null || { tail -n 30 "$log" >&2; fail "$name failed, whole output in $log"; }
}

# wait_for SECONDS WHAT CMD... : poll CMD until it succeeds.
wait_for() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || fail "$what: not ready in time, logs are in $RUN/log"
		sleep 0.2
	done
}

# scratch : a new directory; what a failed build leaves there goes with the next build.
scratch() { mkdir -p "$CACHE/scratch" && mktemp -d -p "$CACHE/scratch"; }

lock_cache() { mkdir -p "$CACHE"; exec 8>"$CACHE/lock"; flock 8; rm -rf "$CACHE/scratch"; }
unlock_cache() { exec 8>&-; }
lock_run() { mkdir -p "$CACHE_ROOT/run"; exec 9>"$CACHE_ROOT/run/.$CLUSTER.lock"; flock 9; }

# inside CMD... : run CMD in the cluster's network with the admin's kubeconfig. The file system stays the host's.
inside() {
	KUBECONFIG=$RUN/admin.kubeconfig PATH=$RUN/bin:$PATH CLUSTER=$CLUSTER nsenter --net="/run/netns/$NETNS" -- "$@"
}

# start NAME CMD... : run CMD in the cluster's network in the background. CMD's arguments must name a path below $RUN:
# that is how running() and stop() know the process for ours.
start() {
	local name=$1
	shift
	mkdir -p "$RUN/pids" "$RUN/log"
	setsid nsenter --net="/run/netns/$NETNS" -- "$@" >"$RUN/log/$name.log" 2>&1 </dev/null 8>&- 9>&- &
	echo $! >"$RUN/pids/$name"
}

# ours PID : the process exists and its command line names our run directory.
ours() { [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF "$RUN/"; }

running() { [ -e "$RUN/pids/$1" ] && ours "$(cat "$RUN/pids/$1")"; }

# signal SIGNAL NAME : sends a signal to one of our processes.
signal() {
	running "$2" || fail "there is no running process \"$2\"; see: $0 status"
	kill -s "$1" "$(cat "$RUN/pids/$2")"
}

# stop NAME... : ask the processes to end, then make them; returns when they are gone.
stop() {
	local name deadline=$((SECONDS + 5)) signal=TERM
	while :; do
		local left=0
		for name in "$@"; do
			if running "$name"; then left=1; kill -s $signal "$(cat "$RUN/pids/$name")" 2>/dev/null || true; fi
		done
		[ $left = 1 ] || break
		[ $SECONDS -lt $deadline ] || signal=KILL
		sleep 0.1
	done
	for name in "$@"; do rm -f "$RUN/pids/$name"; done
}

stop_all() {
	local names=()
	for f in "$RUN"/pids/*; do [ ! -e "$f" ] || names+=("$(basename "$f")"); done
	[ ${#names[@]} = 0 ] || stop "${names[@]}"
}

require_up() { running apiserver || fail "cluster \"$CLUSTER\" is not up; start it with: CLUSTER=$CLUSTER $0 up"; }

make_run() {
	rm -rf "$RUN"
	mkdir -p "$RUN"/{bin,pids,log,pki}
	ln -s "$(kubernetes_binary)" "$RUN/bin/kubectl"
}

cache_clean() {
	local d
	for d in "$CACHE_ROOT"/run/*/; do [ ! -d "$d" ] || fail "a cluster is there: $d"; done
	rm -rf "$CACHE"
}
