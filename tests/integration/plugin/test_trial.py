"""`test -f` against a real API server with the Job controller; the tests play the kubelet."""

import base64
import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailfetch_fetcher.contract import assignment, probe
from mailfetch_fetcher.contract.report import Problem
from tests.cluster.control_plane import ControlPlane
from tests.integration.plugin.running import SCRIPT, Plugin, make

pytestmark = pytest.mark.cluster
IMAGE = "registry.test/fetcher:1"
TIME = "2026-01-31T12:00:00Z"
STEPS = (probe.Step(name="dns", ok=True, milliseconds=3), probe.Step(name="tcp", ok=True, milliseconds=12))
GOOD = probe.ProbeResult(
    uid="", fingerprint="f", time=TIME, steps=STEPS, estimate=probe.Estimate(new_messages=1234, total_messages=20110)
)
BAD = probe.ProbeResult(
    uid="",
    fingerprint="f",
    time=TIME,
    steps=(*STEPS, probe.Step(name="tls", ok=False, detail="the certificate expired; renew it")),
    problem=Problem(reason="TLSFailed", message="the certificate expired; renew it", time=TIME),
)


def document(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mailfetch.dev/v1alpha1",
        "kind": "MailConnection",
        "metadata": {"name": "support"},
        "spec": {
            "protocol": "IMAP",
            "server": {"host": "imap.example.com"},
            "auth": {"type": "Password", "username": "u", "passwordSecretRef": {"name": "box"}},
            **spec,
        },
    }


def secret(name: str, **values: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def write(*documents: dict[str, Any]) -> str:
        path = tmp_path / "connection.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        return str(path)

    return write


class Running:
    """A `test -f` that runs, and its pod."""

    def __init__(
        self, cluster: ControlPlane, namespace: str, *args: str, image: str = IMAGE, stdin: Any = subprocess.DEVNULL
    ) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.process = subprocess.Popen(
            [str(SCRIPT), "test", "-n", namespace, *(("--image", image) if image else ()), *args],
            env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def get(self, kind: str) -> list[dict[str, Any]]:
        label = "app.kubernetes.io/managed-by=kubectl-mailfetch"
        found = self.cluster.kubectl("get", kind, "-n", self.namespace, "-l", label, "-o", "json")
        items: list[dict[str, Any]] = json.loads(found.stdout)["items"]
        return items

    def one(self, kind: str) -> dict[str, Any]:
        """The object, once it is there."""
        deadline = time.monotonic() + 120
        while not (found := self.get(kind)):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
        return found[0]

    def _image(self) -> str:
        return str(self.one("pods")["spec"]["containers"][0]["image"])

    def becomes(self, state: dict[str, Any], phase: str = "Running") -> None:
        """As the kubelet reports it."""
        status = {
            "phase": phase,
            "containerStatuses": [
                {
                    "name": "probe",
                    "image": self._image(),
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        self.cluster.kubectl(
            "patch", "pod", self.one("pods")["metadata"]["name"], "-n", self.namespace, "--subresource=status",
            "--type=merge", "-p", json.dumps({"status": status}),
        )  # fmt: skip

    def ends(self, result: probe.ProbeResult) -> subprocess.CompletedProcess[str]:
        """The probe is done."""
        terminated = {"exitCode": 0, "reason": "Completed", "message": probe.encode(result).decode()}
        self.becomes({"terminated": terminated}, "Succeeded")
        return self.ended()

    def ended(self) -> subprocess.CompletedProcess[str]:
        stdout, stderr = self.process.communicate(timeout=200)
        return subprocess.CompletedProcess([], self.process.returncode, stdout, stderr)

    def left(self) -> list[str]:
        """What is still there; the garbage collector may need a moment for the pod."""
        deadline = time.monotonic() + 120
        while pods := self.get("pods"):
            # Nobody runs the pod, so nobody ends it.
            for pod in pods:
                self.cluster.kubectl(
                    "delete", "pod", pod["metadata"]["name"], "-n", self.namespace, "--force", "--grace-period=0",
                    "--ignore-not-found",
                ) if "deletionTimestamp" in pod["metadata"] else None  # fmt: skip
            assert time.monotonic() < deadline
        return [o["metadata"]["name"] for kind in ("jobs", "secrets", "mailconnections") for o in self.get(kind)]


Run = Callable[..., Running]


@pytest.fixture
def run(cluster: ControlPlane, namespace: str) -> Iterator[Run]:
    started: list[Running] = []

    def start(*args: str, **more: Any) -> Running:
        started.append(Running(cluster, namespace, *args, **more))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()


def given(running: Running) -> dict[str, bytes]:
    """What the pod finds in the Secret of the test: path → value."""
    job, values = running.one("jobs"), running.one("secrets")["data"]
    volumes = job["spec"]["template"]["spec"]["volumes"]
    sources = next(v for v in volumes if v["name"] == "secrets")["projected"]["sources"]
    mine = next(s["secret"] for s in sources if s["secret"]["name"] == job["metadata"]["name"])
    return {item["path"]: base64.b64decode(values[item["key"]]) for item in mine["items"]}


def test_it_shows_steps_and_estimate_and_leaves_nothing(
    cluster: ControlPlane, namespace: str, file: Callable[..., str], run: Run
) -> None:
    running = run("-f", file(document(folder="Support"), secret("box", password="pä ss")))
    assert given(running) == {"box/password": "pä ss".encode()}
    job = running.one("jobs")
    [wanted] = assignment.decode(
        job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"].replace(r"\u0024", "$")
    ).connections
    assert (wanted.namespace, wanted.name, wanted.folder) == (namespace, "support", "Support")
    done = running.ends(GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    assert "TCP" in done.stdout
    assert "1,234 of 20,110 in the folder" in done.stdout
    assert running.left() == []
    assert "support" not in cluster.kubectl("get", "mconn", "-n", namespace, "-o", "name").stdout


def test_a_failed_step_says_what_to_change(file: Callable[..., str], run: Run) -> None:
    running = run("-f", file(document(), secret("box", password="p")), "-o", "json")
    done = running.ends(BAD)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["problem"]["reason"] == "TLSFailed"
    assert [s["name"] for s in found["steps"]] == ["dns", "tcp", "tls"]
    assert "nothing was saved" in done.stderr
    assert running.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_it_is_interrupted(file: Callable[..., str], run: Run, number: int) -> None:
    running = run("-f", file(document(), secret("box", password="p")))
    running.one("pods")
    running.one("secrets")
    running.process.send_signal(number)
    assert running.ended().returncode not in (0, -number)
    assert running.left() == []


def test_a_killed_plugin_leaves_what_kubernetes_removes_by_itself(file: Callable[..., str], run: Run) -> None:
    running = run("-f", file(document(), secret("box", password="p")))
    job, owned = running.one("jobs"), running.one("secrets")
    running.process.kill()
    assert job["spec"]["ttlSecondsAfterFinished"] == 60
    assert job["spec"]["activeDeadlineSeconds"] == 180
    assert [o["uid"] for o in owned["metadata"]["ownerReferences"]] == [job["metadata"]["uid"]]
    running.cluster.kubectl("delete", "job", job["metadata"]["name"], "-n", running.namespace)
    assert running.left() == []


def test_the_password_may_be_piped(tmp_path: Path, file: Callable[..., str], run: Run) -> None:
    piped = tmp_path / "password"
    piped.write_bytes(b"hunter2\n")
    with piped.open("rb") as stdin:
        running = run("-f", file(document()), "--password-stdin", stdin=stdin)
        assert given(running) == {"box/password": b"hunter2"}
    assert "hunter2" not in json.dumps(running.one("jobs"))
    done = running.ends(GOOD)
    assert "hunter2" not in done.stdout + done.stderr


def test_a_secret_of_the_cluster_is_used_without_a_copy(
    cluster: ControlPlane, namespace: str, file: Callable[..., str], run: Run
) -> None:
    cluster.kubectl("create", "secret", "generic", "box", "--from-literal=password=x", "-n", namespace)
    running = run("-f", file(document()))
    running.one("pods")
    assert running.get("secrets") == []
    assert running.ends(GOOD).returncode == 0
    assert cluster.kubectl("get", "secret", "box", "-n", namespace, "-o", "name").stdout == "secret/box\n"


def test_the_password_is_asked_for_and_not_shown(
    cluster: ControlPlane, namespace: str, file: Callable[..., str]
) -> None:
    path = file(document())
    process, ours = pty.fork()
    if process == 0:
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        os.execv(str(SCRIPT), [str(SCRIPT), "test", "-f", path, "-n", namespace, "--image", IMAGE])
    shown = b""
    try:
        while b"Password of u: " not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, b"hunter2\n")
        while b"Ctrl-C" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, b"\x03")
        while chunk := _read(ours):
            shown += chunk
    finally:
        os.close(ours)
        _, status = os.waitpid(process, 0)
    assert b"hunter2" not in shown
    assert os.waitstatus_to_exitcode(status) != 0


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # EIO: the other side was closed
        return b""


def test_without_a_terminal_there_is_nobody_to_ask(
    cluster: ControlPlane, namespace: str, file: Callable[..., str]
) -> None:
    done = subprocess.run(
        [str(SCRIPT), "test", "-f", file(document()), "-n", namespace, "--image", IMAGE],
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--password-stdin" in done.stderr


def test_what_the_api_server_refuses_is_told_with_its_field(
    file: Callable[..., str], plugin: Plugin, namespace: str
) -> None:
    for spec, words in (
        ({"server": None}, "spec.server: Required value: auth.type Password needs a server"),
        ({"folderr": "x"}, 'unknown field "spec.folderr"'),
    ):
        done = plugin("test", "-f", file(document(**spec)), "-n", namespace)
        assert done.returncode == 1
        assert words in done.stderr


def test_a_changed_manifest_of_a_saved_connection(
    cluster: ControlPlane, namespace: str, file: Callable[..., str], run: Run
) -> None:
    make(cluster, namespace, "support")
    before = cluster.kubectl("get", "mconn", "support", "-n", namespace, "-o", "json").stdout
    running = run("-f", file(document(), secret("box", password="p")))
    assert running.ends(GOOD).returncode == 0
    assert cluster.kubectl("get", "mconn", "support", "-n", namespace, "-o", "json").stdout == before


def test_the_image_is_that_of_the_tools_of_the_namespace(
    cluster: ControlPlane, namespace: str, file: Callable[..., str], plugin: Plugin, run: Run
) -> None:
    path = file(document(), secret("box", password="p"))
    missing = plugin("test", "-f", path, "-n", namespace)
    assert missing.returncode == 3
    assert "--image" in missing.stderr
    labels = {"app": "tools"}
    container = {"name": "tools", "image": "registry.test/other:2", "imagePullPolicy": "Never"}
    tools = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "mailfetch-tools", "namespace": namespace},
        "spec": {
            "replicas": 0,
            "serviceName": "mailfetch-tools",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "imagePullSecrets": [{"name": "pull"}]},
            },
        },
    }
    cluster.kubectl("create", "-f", "-", input=json.dumps(tools))
    running = run("-f", path, image="")
    pod = running.one("jobs")["spec"]["template"]["spec"]
    found = pod["containers"][0]
    assert (found["image"], found["imagePullPolicy"]) == ("registry.test/other:2", "Never")
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    running.becomes({"waiting": {"reason": "ErrImageNeverPull", "message": "not on this node"}}, "Pending")
    done = running.ended()
    assert done.returncode == 1
    assert "registry.test/other:2" in done.stderr
    assert "not on this node" in done.stderr
    assert running.left() == []


def test_who_may_edit_may_test(
    cluster: ControlPlane, namespace: str, file: Callable[..., str], run: Run, tmp_path: Path
) -> None:
    """The role edit, and what the chart adds to it."""
    cluster.kubectl("create", "serviceaccount", "editor", "-n", namespace)
    account = f"--serviceaccount={namespace}:editor"
    cluster.kubectl("create", "rolebinding", "edit", "--clusterrole=edit", account, "-n", namespace)
    verbs = "--verb=get,list,watch,create,update,patch,delete"
    cluster.kubectl("create", "role", "mail", verbs, "--resource=mailconnections.mailfetch.dev", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "mail", "--role=mail", account, "-n", namespace)
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    token = cluster.kubectl("create", "token", "editor", "-n", namespace).stdout.strip()
    config["users"][0]["user"] = {"token": token}
    kubeconfig = tmp_path / "editor"
    kubeconfig.write_text(yaml.safe_dump(config))
    running = run("-f", file(document(), secret("box", password="p")), "--kubeconfig", str(kubeconfig))
    done = running.ends(GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    assert running.left() == []


def test_a_pod_that_the_namespace_does_not_allow_is_told(
    cluster: ControlPlane, namespace: str, file: Callable[..., str], run: Run
) -> None:
    cluster.kubectl("create", "quota", "none", "--hard=pods=0", "-n", namespace)
    cluster.kubectl("wait", "quota/none", "-n", namespace, "--for=jsonpath={.status.hard.pods}=0", "--timeout=120s")
    running = run("-f", file(document(), secret("box", password="p")))
    done = running.ended()
    assert done.returncode == 1
    assert "exceeded quota" in done.stderr
    assert running.left() == []
