# The network namespace: a bridge with the control plane at HOST_IP and one tap per node. No uplink: nothing leaves this machine.
# shellcheck shell=bash

start_network() {
	[ ! -e "/run/netns/$NETNS" ] || fail "there is a network namespace \"$NETNS\" that this tool did not leave; choose another CLUSTER name or remove it: ip netns del $NETNS"
	ip netns add "$NETNS"
	touch "$RUN/made-netns"
	local ip="ip -n $NETNS"
	$ip link set lo up
	$ip link add br0 type bridge
	$ip addr add "$HOST_IP/24" dev br0
	$ip link set br0 up
	# Services are reached from the host's side through node 1's kube-proxy.
	$ip route add "$SERVICE_CIDR" via "${NODE_PREFIX}1"
}

add_tap() {
	local n=$1
	[ -z "$(ip -n "$NETNS" -o link show "tap$n" 2>/dev/null)" ] || return 0
	ip -n "$NETNS" tuntap add "tap$n" mode tap
	ip -n "$NETNS" link set "tap$n" master br0 up
	ip -n "$NETNS" route replace "10.244.$n.0/24" via "$NODE_PREFIX$n"
}

stop_network() {
	[ -e "$RUN/made-netns" ] && [ -e "/run/netns/$NETNS" ] || return 0
	local pids
	pids=$(ip netns pids "$NETNS" | tr '\n' ' ')
	[ -z "$pids" ] || say "still running in the cluster's network, not started by this tool: $pids"
	ip netns del "$NETNS"
}
