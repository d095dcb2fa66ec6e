# The control plane: certificates, etcd, API server, controller manager, scheduler, and the add-ons kube-proxy needs and DNS.
# shellcheck shell=bash

make_pki() {
	local n
	cd "$RUN/pki" || return
	openssl ecparam -name prime256v1 -genkey -noout -out ca.key
	openssl req -x509 -new -key ca.key -subj "/CN=$CLUSTER-ca" -days 365 -out ca.crt
	certificate apiserver /CN=kube-apiserver "IP:$HOST_IP,IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
	certificate admin /O=system:masters/CN=admin
	certificate kube-controller-manager /CN=system:kube-controller-manager
	certificate kube-scheduler /CN=system:kube-scheduler
	certificate kube-proxy /CN=system:kube-proxy
	for n in $(seq "$MAX_NODES"); do certificate "node$n" "/O=system:nodes/CN=system:node:node$n"; done
	openssl genrsa -out sa.key 2048 2>/dev/null
	openssl rsa -in sa.key -pubout -out sa.pub 2>/dev/null
	ssh-keygen -q -t ed25519 -N '' -C "$CLUSTER" -f ssh
	install -m 0600 admin.kubeconfig "$RUN/admin.kubeconfig"
	cd - >/dev/null || return
}

# certificate NAME SUBJECT [SAN] : key, certificate and kubeconfig of one client or server.
certificate() {
	openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
	openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
	printf 'keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n%s\n' "${3:+subjectAltName=$3}" >"$1.ext"
	openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
	cat >"$1.kubeconfig" <<-END
	apiVersion: v1
	kind: Config
	clusters: [{name: $CLUSTER, cluster: {server: "https://$HOST_IP:6443", certificate-authority-data: $(base64 -w0 ca.crt)}}]
	users: [{name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}]
	contexts: [{name: $CLUSTER, context: {cluster: $CLUSTER, user: $1}}]
	current-context: $CLUSTER
	END
	chmod 0600 "$1.kubeconfig" "$1.key"
}

start_control_plane() {
	local k8s pki=$RUN/pki
	k8s=$(kubernetes_binary)
	say "starting the control plane"
	# Without fsync: the cluster is thrown away, and other tests load the disk.
	start etcd "$k8s" etcd --name "$CLUSTER" --data-dir "$RUN/etcd" --unsafe-no-fsync --log-level warn \
		--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster "$CLUSTER=http://127.0.0.1:2380"
	start apiserver "$k8s" kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address="$HOST_IP" --bind-address=0.0.0.0 --secure-port=6443 \
		--tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
		--kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" --kubelet-preferred-address-types=InternalIP \
		--service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
		--service-cluster-ip-range="$SERVICE_CIDR" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true --v=1
	wait_for 300 "API server" inside kubectl get --raw /readyz
	# Its default of 20 requests a second alone makes 100 claims take 20 s to become Bound: it writes four times for each.
	start controller-manager "$k8s" kube-controller-manager --kube-api-qps=300 --kube-api-burst=600 --kubeconfig="$pki/kube-controller-manager.kubeconfig" \
		--authentication-kubeconfig="$pki/kube-controller-manager.kubeconfig" --authorization-kubeconfig="$pki/kube-controller-manager.kubeconfig" \
		--service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" --cluster-signing-cert-file="$pki/ca.crt" \
		--cluster-signing-key-file="$pki/ca.key" --use-service-account-credentials=true --leader-elect=false --bind-address=127.0.0.1 --v=1
	start scheduler "$k8s" kube-scheduler --kubeconfig="$pki/kube-scheduler.kubeconfig" --authentication-kubeconfig="$pki/kube-scheduler.kubeconfig" \
		--authorization-kubeconfig="$pki/kube-scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1 --v=1
	wait_for 180 "controller manager" inside kubectl -n default get serviceaccount default
}

start_addons() { quietly addons inside kubectl apply -f "$HERE/manifests"; }
