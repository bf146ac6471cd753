"""The addresses of a one-node Kubernetes and the configuration files of its parts. Pure: text in, text out."""

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Network = ipaddress.IPv4Network
SLOTS = 16


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What tells one node from another on the same machine; sixteen can run side by side."""

    number: int

    @property
    def link(self) -> Network:
        """Between the host (.1) and the node (.2)."""
        return Network(f"10.250.{self.number}.0/24")

    @property
    def pods(self) -> Network:
        """The addresses of pods; the host has a route to them."""
        return Network(f"10.244.{self.number}.0/24")

    @property
    def services(self) -> Network:
        """The cluster addresses of services; the host has a route to them."""
        return Network(f"10.96.{self.number * 16}.0/20")

    @property
    def host_ip(self) -> str:
        """Where pods reach servers of the host."""
        return str(self.link[1])

    @property
    def node_ip(self) -> str:
        """Where the host reaches the API server, node ports and the DNS."""
        return str(self.link[2])

    @property
    def api_ip(self) -> str:
        """The address of the service "kubernetes"."""
        return str(self.services[1])

    @property
    def interface(self) -> str:
        """The host's end of the link."""
        return f"mailfetch{self.number}"

    @property
    def peer(self) -> str:
        """The node's end of the link, until it is moved there."""
        return f"mailfetch{self.number}p"

    @property
    def cgroup(self) -> str:
        """Parent of all pods' control groups, in every hierarchy."""
        return f"mailfetch-node{self.number}"

    def is_free(self, routes: Iterable[Network]) -> bool:
        """Whether none of the slot's networks overlaps with one that the host already routes."""
        return not any(mine.overlaps(other) for mine in (self.link, self.pods, self.services) for other in routes)


@dataclass(frozen=True, kw_only=True)
class NodeFiles:
    """The configuration files, given the slot and the folder (of the state) that holds everything."""

    slot: Slot
    state: Path
    cni_plugins: Path
    pause_image: str

    def all(self) -> dict[str, str]:
        """File name, relative to the state folder, to content."""
        return {
            "containerd.toml": self.containerd(),
            "cni/10-mailfetch.conflist": self.cni(),
            "kubelet.yaml": self.kubelet(),
            "kube-proxy.yaml": self.kube_proxy(),
            "Corefile": self.corefile(),
            "resolv.conf": "",  # Pods resolve names through the cluster's DNS only.
        }

    def containerd(self) -> str:
        return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{self.pause_image}"
  disable_apparmor = true
  # Lowering the score needs CAP_SYS_RESOURCE, which a container that runs the tests may not have.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{self.cni_plugins}"
    conf_dir = "{self.state}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""

    def cni(self) -> str:
        # Routed, not bridged: a bridge would need the kernel module br_netfilter for services to work.
        ipam = {
            "type": "host-local",
            "ranges": [[{"subnet": str(self.slot.pods)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        plugins = [
            {"type": "ptp", "ipMasq": True, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ]
        return json.dumps({"cniVersion": "0.4.0", "name": "mailfetch", "plugins": plugins}, indent=1)

    def kubelet(self) -> str:
        return f"""apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /{self.slot.cgroup}
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
clusterDNS: [{self.slot.node_ip}]
clusterDomain: cluster.local
volumePluginDir: /var/lib/kubelet/volume-plugins
resolvConf: {self.state}/resolv.conf
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {self.state}/pki/ca.crt}}
authorization: {{mode: Webhook}}
tlsCertFile: {self.state}/pki/kubelet-server.crt
tlsPrivateKeyFile: {self.state}/pki/kubelet-server.key
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}}
nodeStatusUpdateFrequency: 5s
readOnlyPort: 0
"""

    def kube_proxy(self) -> str:
        return f"""apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {{kubeconfig: {self.state}/pki/proxy.conf}}
clusterCIDR: {self.slot.pods}
# The limits of connection tracking belong to the whole machine: leave them alone.
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
oomScoreAdj: 0
"""

    def corefile(self) -> str:
        # *.mailfetch.test is the host, so that certificates of test servers can have names; no other name exists.
        return f"""cluster.local:53 in-addr.arpa:53 {{
  bind {self.slot.node_ip}
  errors
  ready 127.0.0.1:8181
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {self.state}/pki/coredns.conf
    pods insecure
    ttl 5
  }}
}}
mailfetch.test:53 {{
  bind {self.slot.node_ip}
  errors
  template IN A {{
    answer "{{{{ .Name }}}} 5 IN A {self.slot.host_ip}"
  }}
  template IN ANY {{
    rcode NOERROR
  }}
}}
.:53 {{
  bind {self.slot.node_ip}
  errors
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""
