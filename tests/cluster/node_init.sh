#!/usr/bin/env bash
# node_init.sh: process 1 of a one-node Kubernetes, in mount, pid, net, ipc and uts namespaces of its own, so that
# everything below (processes, mounts, addresses, iptables rules) ends with it. Started by node.py, with
# STATE (folder), BIN (the executables of Kubernetes), NODE_NAME, NODE_IP, HOST_IP and SERVICES (a network).
set -u
# /proc is still the host's, so this is the host's number for this process.
read -r HOST_PID _ < /proc/self/stat
mount -t proc proc /proc
mount --make-rshared /
hostname "$NODE_NAME"

# Folders of the machine that Kubernetes writes to are replaced, so that it leaves nothing there.
mount -t tmpfs -o mode=755 tmpfs /var/lib
private() { mkdir -p "$STATE/$1" "$2"; mount --bind "$STATE/$1" "$2"; }
private kubelet /var/lib/kubelet
private containerd /var/lib/containerd
private pod-logs /var/log
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/sysctl

# The kubelet insists on these settings of the whole machine. It finds them as it wants them, in files of this
# mount namespace, and the machine's stay as they are.
pretend() { echo "$2" > "/run/sysctl/${1//\//.}"; mount --bind "/run/sysctl/${1//\//.}" "/proc/sys/$1"; }
pretend vm/overcommit_memory 1
pretend vm/panic_on_oom 0
pretend kernel/panic 10
pretend kernel/panic_on_oops 1
pretend kernel/keys/root_maxkeys 1000000
pretend kernel/keys/root_maxbytes 25000000

echo "$HOST_PID" > "$STATE/init.pid.new"
mv "$STATE/init.pid.new" "$STATE/init.pid"
# node.py moves the node's end of the link in here.
until ip link show eth0 > /dev/null 2>&1; do sleep 0.02; done
ip link set lo up
ip addr add "$NODE_IP/24" dev eth0
ip link set eth0 up
ip route add default via "$HOST_IP"
echo 1 > /proc/sys/net/ipv4/ip_forward

# keep NAME COMMAND...: runs a part of the node and starts it again when it ends, as a service manager would.
keep() {
  local name=$1; shift
  (
    exec >> "$STATE/log/$name.log" 2>&1
    while :; do "$@"; echo "node_init: $name ended with status $?, starting it again"; sleep 1; done
  ) &
}
PKI=$STATE/pki
ETCD=http://127.0.0.1:2379

keep etcd "$BIN/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls $ETCD --advertise-client-urls $ETCD \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
  --initial-cluster default=http://127.0.0.1:2380
keep kube-apiserver "$BIN/kube-apiserver" --etcd-servers=$ETCD \
  --bind-address=0.0.0.0 --secure-port=6443 --advertise-address="$NODE_IP" \
  --service-cluster-ip-range="$SERVICES" \
  --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
  --client-ca-file="$PKI/ca.crt" --authorization-mode=Node,RBAC \
  --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
  --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" \
  --kubelet-client-key="$PKI/apiserver-kubelet-client.key" --shutdown-delay-duration=0s
keep containerd containerd --config "$STATE/containerd.toml"

# The others end when there is no API server; waiting here is faster than starting them again.
until "$BIN/kubectl" --kubeconfig "$PKI/admin.conf" get --raw /readyz > /dev/null 2>&1; do sleep 0.2; done
keep kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$PKI/controller-manager.conf" \
  --authentication-kubeconfig="$PKI/controller-manager.conf" --authorization-kubeconfig="$PKI/controller-manager.conf" \
  --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
  --use-service-account-credentials=true --kube-api-qps=300 --kube-api-burst=600 \
  --leader-elect=false --bind-address=127.0.0.1
keep kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$PKI/scheduler.conf" \
  --authentication-kubeconfig="$PKI/scheduler.conf" --authorization-kubeconfig="$PKI/scheduler.conf" \
  --leader-elect=false --bind-address=127.0.0.1
keep kubelet "$BIN/kubelet" --config="$STATE/kubelet.yaml" --kubeconfig="$PKI/kubelet.conf" \
  --hostname-override="$NODE_NAME" --node-ip="$NODE_IP"
keep kube-proxy "$BIN/kube-proxy" --config="$STATE/kube-proxy.yaml" --hostname-override="$NODE_NAME"
keep coredns "$BIN/coredns" -conf "$STATE/Corefile"
# bash reaps the orphans that end up here.
while :; do wait; sleep 1; done
