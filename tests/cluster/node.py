"""A whole Kubernetes with one node: real containers, DNS, services, Helm. Needs root, and a few Debian packages.

    python -m tests.cluster.node up|down|status [--state FOLDER]

Inside tests use the fixture `node`. Everything runs below one process 1 in namespaces of its own (node_init.sh), so
that ending that process ends it all; the few traces outside are in host.py.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster import host, images, volumes
from tests.cluster.base import Cluster
from tests.cluster.node_config import NodeFiles, Slot
from tests.cluster.pki import Pki
from tests.cluster.preflight import cni_folder, preflight
from tests.cluster.processes import Processes, run
from tests.cluster.tools import onenode_folder

NAME = "mailfetch-node"
START_SECONDS = 240
TEMPORARY_PREFIX = "mailfetch-node-"


class Node(Cluster):
    """One node. Without `state` it is temporary and ends with this process; with one it stands by itself."""

    def __init__(self, state: Path | None = None) -> None:
        self._temporary = state is None
        if state is not None:
            self.state = state.absolute()
        self._processes: Processes | None = None
        self._init: host.ProcessId | None = None

    @classmethod
    def attach(cls, state: Path) -> "Node":
        """The node that runs with that state folder."""
        node = cls(state)
        record = host.Record.load(node.state)
        if record is None or record.init is None or not record.init.is_alive():
            raise RuntimeError(f"no node runs with {state}; start it with `python -m tests.cluster.node up`")
        node._set_record(record)
        return node

    def start(self) -> None:
        """Returns when pods can be scheduled. A former run that crashed is cleaned up first."""
        remove_abandoned()
        if not self._temporary:
            host.remove(self.state)
        problems = preflight(None if self._temporary else self.state)
        if problems:
            raise RuntimeError("\n".join(["this machine cannot run a Kubernetes node:", *problems]))
        onenode_folder()
        pause = images.pause()
        try:
            self._launch()
            self._wait("containerd", lambda: self._in_node("ctr", "version", check=False).returncode == 0)
            self._wait("the API server", lambda: self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0)
            self.import_image(pause.archive)
            self._wait("the node", self._is_ready)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends everything and removes it; may be called twice."""
        if self._processes is not None:
            self._processes.stop()
            self._processes = None
        elif not self._temporary:
            host.remove(self.state)
            run(["rm", "-rf", "--one-file-system", self.state])

    def load_images(self) -> None:
        """Builds Mailfetch's image and a Redis image where that is needed, and loads them."""
        mailfetch, redis = images.mailfetch(), images.redis()
        for image in (mailfetch, redis):
            self.import_image(image.archive)
        self.image, self.redis_image = mailfetch.name, redis.name

    def import_image(self, tar: Path) -> None:
        """Loads an image archive; pods use it with imagePullPolicy IfNotPresent (or no policy and a tag)."""
        self._in_node("ctr", "--namespace", "k8s.io", "images", "import", str(tar.absolute()))

    def pod_kill(self, namespace: str, pod: str, container: str) -> None:
        """SIGKILL to all processes of a container, from outside, as a crash or the kernel's OOM killer would."""
        path = f'{{.status.containerStatuses[?(@.name=="{container}")].containerID}}'
        identity = self.kubectl("-n", namespace, "get", "pod", pod, "-o", f"jsonpath={path}").stdout
        if not identity:
            raise RuntimeError(f"pod {namespace}/{pod} has no running container {container}")
        task = identity.rpartition("/")[2]
        self._in_node("ctr", "--namespace", "k8s.io", "tasks", "kill", "--all", "--signal", "SIGKILL", task)

    def make_volumes(self, count: int) -> None:
        """Adds volumes (folders of the host) and the default storage class "mailfetch-local" that hands them out."""
        folder = self.state / "volumes"
        self.kubectl("apply", "-f", "-", input=volumes.manifests(volumes.make_folders(folder, count), node=NAME))

    def _launch(self) -> None:
        if self._temporary:
            self.state = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX))
            self._processes = Processes()
            self._processes.at_end([sys.executable, "-m", "tests.cluster.node", "down", "--state", self.state])
            self._processes.remove_at_end(self.state)
        for folder in ("log", "cni"):
            (self.state / folder).mkdir(parents=True, exist_ok=True)
        slot = host.claim_slot()
        owner = host.ProcessId.of(os.getpid()) if self._temporary else None
        record = host.Record(slot=slot, owner=owner)
        record.save(self.state)
        self._set_record(record)
        self._write_files(slot)
        host.make_cgroups(slot)
        self._run_init(slot)
        self._wait("process 1", (self.state / "init.pid").exists)
        init = host.ProcessId.of(int((self.state / "init.pid").read_text()))
        record = host.Record(slot=slot, owner=owner, init=init)
        record.save(self.state)
        self._set_record(record)
        host.connect(slot, init.pid)

    def _set_record(self, record: host.Record) -> None:
        self._init = record.init
        self.host_ip = record.slot.host_ip
        self.node_ip = record.slot.node_ip
        self.kubeconfig = self.state / "pki" / "admin.conf"

    def _write_files(self, slot: Slot) -> None:
        files = NodeFiles(slot=slot, state=self.state, cni_plugins=cni_folder(), pause_image=images.PAUSE)
        for name, text in files.all().items():
            (self.state / name).write_text(text)
        pki = Pki(self.state / "pki")
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        names.append("kubernetes.default.svc.cluster.local")
        addresses = ["127.0.0.1", slot.api_ip, slot.node_ip]
        pki.issue("apiserver", "/CN=kube-apiserver", hosts=[f"DNS:{n}" for n in names] + [f"IP:{a}" for a in addresses])
        node = f"/O=system:nodes/CN=system:node:{NAME}"
        pki.issue("kubelet-server", node, hosts=[f"DNS:{NAME}", f"IP:{slot.node_ip}"])
        pki.issue("apiserver-kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        clients = {
            "admin": "/O=system:masters/CN=admin",
            "coredns": "/O=system:masters/CN=coredns",
            "kubelet": node,
            "controller-manager": "/CN=system:kube-controller-manager",
            "scheduler": "/CN=system:kube-scheduler",
            "proxy": "/CN=system:kube-proxy",
        }
        for name, subject in clients.items():
            pki.issue(name, subject)
            pki.kubeconfig(name, f"https://{slot.node_ip}:6443")
        pki.service_account_keys()

    def _run_init(self, slot: Slot) -> None:
        # Options of unshare: if it is killed, the node's process 1 is, too.
        namespaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child=KILL"]
        command = ["unshare", *namespaces, "bash", str(Path(__file__).with_name("node_init.sh"))]
        env = {
            "STATE": str(self.state),
            "BIN": str(onenode_folder()),
            "NODE_NAME": NAME,
            "NODE_IP": slot.node_ip,
            "HOST_IP": slot.host_ip,
            "SERVICES": str(slot.services),
        }
        log = self.state / "log" / "init.log"
        if self._processes is not None:
            self._processes.start("node", command, log=log, env=env)
            return
        with log.open("ab") as output:
            subprocess.Popen(
                command,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _is_ready(self) -> bool:
        ready = '{.status.conditions[?(@.type=="Ready")].status}'
        node = self.kubectl("get", "node", NAME, "-o", f"jsonpath={ready}", check=False).stdout
        account = self.kubectl("get", "serviceaccount", "default", check=False).returncode
        return node == "True" and account == 0

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            ended = self._init is not None and not self._init.is_alive()
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"{what} did not come up; the ends of the logs:\n{self.logs()}")
            time.sleep(0.1)

    def logs(self, lines: int = 15) -> str:
        """The last lines of what the parts of the node wrote."""
        parts = []
        for path in sorted((self.state / "log").glob("*.log")):
            text = path.read_text(errors="replace").splitlines()
            parts += [f"==> {path.name}", *text[-lines:]]
        return "\n".join(parts)

    def _in_node(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        assert self._init is not None
        # As nsenter changes the working folder, all paths must be absolute.
        enter = ["nsenter", "--target", str(self._init.pid), "--mount", "--pid", "--"]
        return run([*enter, *command], check=check)


def remove_abandoned() -> None:
    """Removes temporary nodes whose test runner is gone (killed together with its supervisor)."""
    for state in Path(tempfile.gettempdir()).glob(TEMPORARY_PREFIX + "*"):
        record = host.Record.load(state)
        if record is not None and record.owner is not None and not record.owner.is_alive():
            host.remove(state)
            run(["rm", "-rf", "--one-file-system", state])


def default_state() -> Path:
    """Where the node of the command line keeps its state."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mailfetch" / "node"


def main() -> int:
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.node", description="A Kubernetes with one node.")
    parser.add_argument("command", choices=["up", "down", "status"])
    parser.add_argument("--state", type=Path, default=default_state(), help="folder for everything it writes")
    arguments = parser.parse_args()
    node = Node(arguments.state)
    try:
        if arguments.command == "up":
            node.start()
            print(node.kubeconfig)
        elif arguments.command == "down":
            node.stop()
        else:
            node = Node.attach(arguments.state)
            print(node.kubectl("get", "nodes", "-o", "wide").stdout + f"KUBECONFIG={node.kubeconfig}")
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
