"""etcd and kube-apiserver as ordinary processes on 127.0.0.1: enough to test what the API server decides.

Needs no root. Nothing of it outlives stop(), or the test runner.
"""

import ssl
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.cluster.pki import Pki
from tests.cluster.processes import Processes, free_ports
from tests.cluster.tools import KubernetesTools, onenode_folder

START_SECONDS = 120
ATTEMPTS = 3


class ControlPlane(KubernetesTools):
    """An API server with an empty etcd; `controllers` adds garbage collection, deletion of namespaces and so on."""

    def __init__(self, *, controllers: bool = False) -> None:
        self.controllers = controllers
        self._processes: Processes | None = None

    def start(self) -> None:
        """Returns when the API server answers and has made its namespaces."""
        onenode_folder()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._start_once()
            except PortTakenError:
                # A free port is only free until somebody else takes it.
                self.stop()
                if attempt == ATTEMPTS:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self) -> None:
        """Ends everything and removes it; may be called twice."""
        if self._processes is not None:
            self._processes.stop()
            self._processes = None

    def log(self, component: str) -> str:
        """What etcd, kube-apiserver or kube-controller-manager wrote."""
        return (self.folder / f"{component}.log").read_text(errors="replace")

    def _start_once(self) -> None:
        self._processes = Processes()
        self.folder = Path(tempfile.mkdtemp(prefix="mailfetch-control-plane-"))
        self._processes.remove_at_end(self.folder)
        api, etcd, peer = free_ports(3)
        self.url = f"https://127.0.0.1:{api}"
        self.pki = self._certificates()
        self.kubeconfig = self.pki.kubeconfig("admin", self.url)
        self._run("etcd", *self._etcd_flags(etcd, peer))
        self._run("kube-apiserver", *self._apiserver_flags(api, etcd))
        self._wait_until_ready()
        if self.controllers:
            self._run("kube-controller-manager", *self._controller_manager_flags())
            self._wait_for("/api/v1/namespaces/default/serviceaccounts/default")

    def _run(self, component: str, *flags: str) -> None:
        assert self._processes is not None
        self._processes.start(component, [onenode_folder() / component, *flags], log=self.folder / f"{component}.log")

    def _certificates(self) -> Pki:
        pki = Pki(self.folder / "pki")
        pki.issue(
            "apiserver", "/CN=kube-apiserver", hosts=["DNS:localhost", "DNS:kubernetes", "IP:127.0.0.1", "IP:10.96.0.1"]
        )
        pki.issue("admin", "/O=system:masters/CN=admin")
        pki.issue("controller-manager", "/CN=system:kube-controller-manager")
        pki.service_account_keys()
        return pki

    def _etcd_flags(self, client: int, peer: int) -> list[str]:
        client_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=error",
            f"--listen-client-urls={client_url}",
            f"--advertise-client-urls={client_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
        ]

    def _apiserver_flags(self, port: int, etcd: int) -> list[str]:
        pki = self.pki.folder
        flags = [
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
        ]
        if not self.controllers:
            # Without the controller manager nobody makes the service account "default" that pods would wait for.
            flags.append("--disable-admission-plugins=ServiceAccount")
        return flags

    def _controller_manager_flags(self) -> list[str]:
        pki = self.pki.folder
        return [
            f"--kubeconfig={self.pki.kubeconfig('controller-manager', self.url)}",
            f"--service-account-private-key-file={pki / 'sa.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            "--use-service-account-credentials=true",
            # The default limits make it spend its first seconds on discovery.
            "--kube-api-qps=300",
            "--kube-api-burst=600",
            "--leader-elect=false",
            "--secure-port=0",
        ]

    def _wait_until_ready(self) -> None:
        self._wait_for("/readyz")
        self._wait_for("/api/v1/namespaces/default")

    def _wait_for(self, path: str) -> None:
        pki = self.pki.folder
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                opener.open(self.url + path, timeout=10).close()
            except OSError as error:
                self._check_alive()
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.url}{path} is not there after {START_SECONDS} s: {error}") from error
                time.sleep(0.05)
            else:
                return

    def _check_alive(self) -> None:
        assert self._processes is not None
        for component in self._processes.exited():
            log = self.log(component)
            if "address already in use" in log:
                raise PortTakenError(f"{component} found its port taken")
            raise RuntimeError(f"{component} ended while the control plane started:\n{log[-3000:]}")


class PortTakenError(RuntimeError):
    """Somebody took the port between its choice and its use."""
