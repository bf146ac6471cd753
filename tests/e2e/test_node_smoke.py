"""The Kubernetes of the tests itself: it runs the image as the chart will, and leaves no trace of itself."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import host
from tests.cluster.base import Cluster
from tests.cluster.node import Node
from tests.cluster.processes import REPOSITORY, run

pytestmark = pytest.mark.node

SETTINGS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


@dataclass(frozen=True, kw_only=True)
class Traces:
    """What a node could leave on the machine. Other nodes may come and go meanwhile: theirs do not count."""

    mounts: frozenset[str]
    interfaces: frozenset[str]
    routes: frozenset[str]
    rules: tuple[str, ...]
    cgroups: frozenset[str]
    settings: tuple[str, ...]
    folders: frozenset[str]


def observe_traces() -> Traces:
    others = ("mailfetch",)
    interfaces = {link["ifname"] for link in json.loads(run(["ip", "-json", "link", "show"]).stdout)}
    routes = json.loads(run(["ip", "-4", "-json", "route", "show", "table", "all"]).stdout)
    rules = run(["iptables-save"]).stdout.splitlines()
    return Traces(
        mounts=frozenset(Path("/proc/self/mounts").read_text().splitlines()),
        interfaces=frozenset(name for name in interfaces if not name.startswith(others)),
        routes=frozenset(route["dst"] for route in routes if not route.get("dev", "").startswith(others)),
        rules=tuple(rule for rule in rules if rule.startswith("-")),
        cgroups=frozenset(
            str(group)
            for hierarchy in host.cgroup_hierarchies()
            for group in hierarchy.iterdir()
            if group.is_dir() and not group.name.startswith(others)
        ),
        settings=tuple(Path("/proc/sys", name).read_text() for name in SETTINGS),
        folders=frozenset(
            str(path) for top in ("/", "/etc", "/opt", "/var", "/var/lib") for path in Path(top).iterdir()
        ),
    )


def assert_nothing_left(record: host.Record, state: Path) -> None:
    """The traces that bear the node's own name."""
    assert not state.exists()
    assert record.slot.interface not in run(["ip", "link", "show"]).stdout
    assert not [h for h in host.cgroup_hierarchies() if (h / record.slot.cgroup).exists()]
    assert not [pid for pid in processes() if str(state) in pid.environment]


@dataclass(frozen=True, kw_only=True)
class Process:
    pid: int
    environment: str


def processes() -> list[Process]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "environ").read_bytes() + (path / "cmdline").read_bytes()
        except OSError:
            continue
        found.append(Process(pid=int(path.name), environment=text.decode(errors="replace")))
    return found


def record_of(state: Path) -> host.Record:
    record = host.Record.load(state)
    assert record is not None
    return record


def pod(name: str, image: str, *command: str) -> str:
    """A pod as Pod Security "restricted" wants it, with a read-only root file system."""
    container = {
        "name": "main",
        "image": image,
        "command": list(command),
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def restricted_namespace(cluster: Cluster, name: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=120s")


def run_to_end(cluster: Cluster, namespace: str, name: str, *command: str) -> str:
    """Runs a pod of Mailfetch's image and returns what it wrote."""
    cluster.kubectl("-n", namespace, "create", "-f", "-", input=pod(name, cluster.image, *command))
    ended = "--for=jsonpath={.status.containerStatuses[0].state.terminated}"
    cluster.kubectl("-n", namespace, "wait", ended, f"pod/{name}", "--timeout=120s", check=False)
    output = cluster.kubectl("-n", namespace, "logs", name, check=False).stdout
    path = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    status = cluster.kubectl("-n", namespace, "get", "pod", name, "-o", path).stdout
    assert status == "0", output + cluster.kubectl("-n", namespace, "describe", "pod", name).stdout
    return output


def test_the_image_runs_without_root_and_without_a_writable_file_system(node: Cluster) -> None:
    restricted_namespace(node, "smoke-image")
    code = "import os, mailfetch_fetcher, mailfetch_operator; print(os.getuid(), mailfetch_fetcher.__version__)"
    output = run_to_end(node, "smoke-image", "import", "python", "-c", code)
    uid, version = output.split()
    assert uid == "10001"
    assert version[0].isdigit()
    for program in ("mailfetch-operator", "mailfetch-fetcher"):
        assert "usage" in run_to_end(node, "smoke-image", program, program, "--help").lower()
    node.kubectl("delete", "namespace", "smoke-image", "--wait=false")


def test_the_image_has_no_build_tools(node: Cluster) -> None:
    restricted_namespace(node, "smoke-tools")
    code = (
        "import importlib.util as u, shutil as s;"
        "print([m for m in ('pip', 'ensurepip', 'setuptools', 'hatchling') if u.find_spec(m)]"
        " + [p for p in ('pip', 'pip3', 'gcc', 'cc', 'make', 'git') if s.which(p)])"
    )
    assert run_to_end(node, "smoke-tools", "tools", "python", "-c", code).strip() == "[]"
    node.kubectl("delete", "namespace", "smoke-tools", "--wait=false")


def test_pods_find_services_the_host_and_nothing_else(node: Cluster) -> None:
    restricted_namespace(node, "smoke-names")
    code = (
        "import socket\n"
        "socket.create_connection(('kubernetes.default.svc', 443), 30).close()\n"
        "print(socket.gethostbyname('imap.mailfetch.test'))\n"
        "try: print(socket.gethostbyname('imap.invalid'))\n"
        "except socket.gaierror as error: print(error.errno == socket.EAI_NONAME)\n"
    )
    output = run_to_end(node, "smoke-names", "names", "python", "-c", code)
    assert output.split() == [node.host_ip, "True"]
    node.kubectl("delete", "namespace", "smoke-names", "--wait=false")


def test_a_killed_container_looks_like_a_crash(node: Cluster) -> None:
    restricted_namespace(node, "smoke-kill")
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
    node.kubectl("-n", "smoke-kill", "create", "-f", "-", input=pod("victim", node.image, "python", "-c", code))
    node.kubectl("-n", "smoke-kill", "wait", "--for=condition=Ready", "pod/victim", "--timeout=120s")
    node.pod_kill("smoke-kill", "victim", "main")
    phase = "--for=jsonpath={.status.phase}=Failed"
    node.kubectl("-n", "smoke-kill", "wait", phase, "pod/victim", "--timeout=120s")
    path = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
    assert node.kubectl("-n", "smoke-kill", "get", "pod", "victim", "-o", path).stdout == "137"
    node.kubectl("delete", "namespace", "smoke-kill", "--wait=false")


def test_nodes_leave_nothing_behind() -> None:
    before = observe_traces()
    for _ in range(2):
        node = Node()
        node.start()
        try:
            record, state = record_of(node.state), node.state
            node.make_volumes(1)
            assert record.slot.interface in run(["ip", "link", "show"]).stdout
            assert [process for process in processes() if str(state) in process.environment]
        finally:
            node.stop()
        assert_nothing_left(record, state)
    assert observe_traces() == before


CRASHING_RUNNER = """
import time
from tests.cluster.node import Node
node = Node()
node.start()
print(node.state, node._processes._supervisor.pid, flush=True)
time.sleep(1000)
"""


def test_the_next_start_cleans_up_after_a_crash() -> None:
    before = observe_traces()
    command = [sys.executable, "-c", CRASHING_RUNNER]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        state_path, supervisor = runner.stdout.readline().split()
        # The worst case: whoever would clean up is killed, too.
        os.kill(int(supervisor), signal.SIGKILL)
        runner.kill()
    state = Path(state_path)
    record = record_of(state)
    node = Node()
    node.start()
    try:
        assert not state.exists()
        assert not [process for process in processes() if str(state) in process.environment]
    finally:
        node.stop()
    assert_nothing_left(record, state)
    assert observe_traces() == before
