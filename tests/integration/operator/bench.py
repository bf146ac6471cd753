"""A namespace on a real API server, an operator process that serves it, and hands that play kubelet and fetcher.

The control plane has controllers but no kubelet: Deployments and Jobs get pods, and the tests write what a kubelet
would write into their status. The fetcher's HTTP server is ours.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

from mailfetch_fetcher.contract import assignment, probe, purge, report
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.probe import Estimate, ProbeResult, Step, StoreState
from mailfetch_fetcher.contract.purge import PurgeResult
from mailfetch_fetcher.contract.report import ConnectionReport, Problem, Report
from tests.cluster.processes import REPOSITORY, free_ports
from tests.cluster.tools import KubernetesTools

CRD = REPOSITORY / "crds/mailconnections.mailfetch.dev.yaml"
DEADLINE = 120.0
"""Seconds: generous, since the machine may be busy."""
QUIET = 4.0
"""Seconds: longer than what the operator plans again by itself after a write."""

Object = dict[str, Any]


class FakeFetcher:
    """Serves /report as a fetcher does: at once if `since` is another revision, else when there is news."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._connections: dict[str, ConnectionReport] = {}
        self._revision = 1
        self.polls = 0
        fetcher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
                body = fetcher._answer(query["since"][0])
                with contextlib.suppress(BrokenPipeError):  # the operator was killed
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def say(self, name: str, told: ConnectionReport) -> None:
        with self._news:
            self._connections[name] = told
            self._revision += 1
            self._news.notify_all()

    def forget(self, name: str) -> None:
        """It does not run the connection any more."""
        with self._news:
            del self._connections[name]
            self._revision += 1
            self._news.notify_all()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, since: str) -> bytes:
        with self._news:
            self.polls += 1
            self._news.wait_for(lambda: f"r{self._revision}" != since, timeout=25)
            return report.encode(
                Report(revision=f"r{self._revision}", fetcher="pod", version="1", connections=dict(self._connections))
            )


@dataclass(kw_only=True)
class Operator:
    """An operator process."""

    process: subprocess.Popen[bytes]
    http: int
    liveness: int

    def kill(self) -> None:
        """As the kernel's out-of-memory killer does it."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """As the kubelet does it; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=DEADLINE)

    def health(self) -> tuple[int, str]:
        """Status and text of /healthz; 0 if there is no answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.liveness}/healthz", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as e:
            return e.code, e.read().decode()
        except OSError:
            return 0, ""

    def healthy(self) -> bool:
        return self.health()[0] == 200

    def metrics(self) -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{self.http}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (li.rpartition(" ") for li in lines if not li.startswith("#"))}

    def writes(self) -> dict[str, float]:
        """Requests of this process that were no reads."""
        found = self.metrics()
        return {
            k: v for k, v in found.items() if k.startswith("mailfetch_api_requests_total{") and 'verb="get"' not in k
        }


@dataclass(kw_only=True)
class Bench:
    """See the module."""

    cluster: KubernetesTools
    namespace: str
    folder: Path
    fetcher: FakeFetcher = field(default_factory=FakeFetcher)
    operators: list[Operator] = field(default_factory=list)
    tend: Callable[[], None] = lambda: None
    """Called while something is waited for."""

    def eventually(self, what: str, look: Callable[[], Any]) -> Any:
        """Looks until it finds something true; fails with what it waited for."""
        deadline = time.monotonic() + DEADLINE
        while not (found := look()):
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self.tend()
            time.sleep(0.1)
        return found

    def settle(self) -> None:
        """Waits until the operator has not written anything for a while."""
        seen, since = self.operators[-1].writes(), time.monotonic()

        def look() -> bool:
            nonlocal seen, since
            now = self.operators[-1].writes()
            if now != seen:
                seen, since = now, time.monotonic()
            return time.monotonic() - since > QUIET

        self.eventually("an operator that does not write any more", look)

    # --- kubectl

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> str:
        return self.cluster.kubectl("-n", self.namespace, *args, input=input, check=check).stdout

    def apply(self, *manifests: Object) -> None:
        for manifest in manifests:
            self.kubectl("apply", "--server-side", "--field-manager=test", "-f", "-", input=json.dumps(manifest))

    def get(self, kind: str, name: str) -> Object | None:
        text = self.kubectl("get", kind, name, "-o", "json", "--ignore-not-found", "--show-managed-fields")
        return json.loads(text) if text else None

    def list(self, kind: str, selector: str = "") -> list[Object]:
        found: list[Object] = json.loads(self.kubectl("get", kind, "-l", selector, "-o", "json"))["items"]
        return found

    def annotate(self, name: str, *annotations: str) -> None:
        self.kubectl("annotate", "--overwrite", "mailconnection", name, *annotations)

    def condition(self, name: str, kind: str) -> tuple[str, str]:
        """Status and reason of a condition, empty if there is none."""
        status = (self.get("mailconnection", name) or {}).get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return "", ""

    def until_condition(self, name: str, kind: str, wanted: tuple[str, str]) -> None:
        self.eventually(f"{name} {kind}={wanted}", lambda: self.condition(name, kind) == wanted)

    # --- the operator

    def start(self, *, namespaces: str | None = None, script: Path | None = None, **environ: str) -> Operator:
        """Starts an operator; `script` instead of the console script."""
        http, liveness = free_ports(2)
        argv = (
            [str(Path(sys.executable).with_name("mailfetch-operator"))]
            if script is None
            else [sys.executable, str(script)]
        )
        own = {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "MAILFETCH_NAMESPACES": self.namespace if namespaces is None else namespaces,
            "MAILFETCH_CLUSTER_ID": "test-cluster" if namespaces is None else "",
            "MAILFETCH_FETCHER_IMAGE": "example/mailfetch:test",
            "MAILFETCH_HTTP_PORT": str(http),
            "MAILFETCH_LIVENESS_PORT": str(liveness),
            "MAILFETCH_REPORT_PORT": str(self.fetcher.port),
            # The Kubernetes client writes the kubeconfig's keys to files there; a killed process leaves them.
            "TMPDIR": str(self.folder),
        }
        with (self.folder / "operator.log").open("ab") as log:
            process = subprocess.Popen(argv, env={**os.environ, **own, **environ}, stdout=log, stderr=log)
        operator = Operator(process=process, http=http, liveness=liveness)
        self.operators.append(operator)
        return operator

    def log(self) -> str:
        return (self.folder / "operator.log").read_text()

    def stop(self) -> None:
        for operator in self.operators:
            if operator.process.poll() is None:
                operator.kill()
        self.fetcher.stop()

    # --- what people, a kubelet and a fetcher do

    def bring_up(self, name: str, **spec: Any) -> None:
        """Applies, enables and approves a connection; returns when its fetcher has it to do."""
        self.apply(connection(name, **spec))
        self.annotate(name, "mailfetch.dev/enable=true", "mailfetch.dev/acknowledge=any")
        self.finish_probe(self.probe_job(name), new=1)
        pool = spec.get("placement", {}).get("pool", "default")
        self.eventually("the assignment", lambda: name in self.assigned(f"mailfetch-pool-{pool}"))
        self.eventually("the Deployment", lambda: self.get("deployment", f"mailfetch-pool-{pool}"))

    def probe_job(self, name: str) -> Object:
        """The probe Job of a connection that has not ended, once it is there."""

        def look() -> Object | None:
            jobs = self.list("jobs", f"mailfetch.dev/connection={name}")
            running = [j for j in jobs if not (j.get("status") or {}).get("conditions")]
            return running[0] if running else None

        found: Object = self.eventually(f"a probe Job of {name}", look)
        return found

    def finish_probe(self, job: Object, *, new: int) -> None:
        """The probe ran and found `new` mails."""
        wanted = probed(job)
        result = ProbeResult(
            uid=wanted.uid,
            fingerprint=assignment.fingerprint(wanted),
            time="2026-11-24T08:00:00Z",
            steps=(Step(name="login", ok=True),),
            estimate=Estimate(new_messages=new, total_messages=new),
            state=StoreState(),
            uid_validity="1700000000",
        )
        pod = self._pod(f"batch.kubernetes.io/job-name={job['metadata']['name']}")
        ended = {"exitCode": 0, "reason": "Completed", "message": probe.encode(result).decode()}
        self._write_pod_status(
            pod, {"phase": "Succeeded", "containerStatuses": [_container("probe", terminated=ended)]}
        )

    def purge_job(self, name: str, serial: int = 0) -> Object:
        """The purge Job of a connection, once it is there."""

        def look() -> Object | None:
            jobs = self.list("jobs", f"mailfetch.dev/connection={name},app.kubernetes.io/name=mailfetch-purge")
            found = [j for j in jobs if j["metadata"]["annotations"]["mailfetch.dev/serial"] == str(serial)]
            return found[0] if found else None

        found: Object = self.eventually(f"purge Job {serial} of {name}", look)
        return found

    def finish_purge(self, job: Object, *, problem: Problem | None = None) -> None:
        """The purge ran, and failed if there is a problem."""
        message = purge.encode(PurgeResult(problem=problem)).decode()
        ended = {"exitCode": 1 if problem else 0, "reason": "Error" if problem else "Completed", "message": message}
        pod = self._pod(f"batch.kubernetes.io/job-name={job['metadata']['name']}")
        phase = "Failed" if problem else "Succeeded"
        self._write_pod_status(pod, {"phase": phase, "containerStatuses": [_container("purge", terminated=ended)]})

    def run_fetcher(self, name: str = "mailfetch-pool-default") -> Object:
        """The fetcher's pod runs on the loopback, where our server answers."""
        pod = self._pod(f"mailfetch.dev/fetcher={name}")
        started = {"startedAt": "2026-11-24T08:00:00Z"}
        self._write_pod_status(
            pod,
            {
                "phase": "Running",
                "podIP": "127.0.0.1",
                "podIPs": [{"ip": "127.0.0.1"}],
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [_container("fetcher", running=started)],
            },
        )
        return pod

    def assigned(self, fetcher: str = "mailfetch-pool-default") -> dict[str, Assignment]:
        """What the fetcher's ConfigMap says, by name of the connection."""
        config_map = self.get("configmap", fetcher)
        if config_map is None:
            return {}
        return {a.name: a for a in assignment.decode(config_map["data"][assignment.FILE_NAME]).connections}

    def report_idle(self, name: str) -> None:
        """The fetcher says that it has taken over the present assignment and is caught up."""
        told = self.assigned()[name]
        self.fetcher.say(
            name,
            ConnectionReport(
                uid=told.uid,
                generation=told.generation,
                fingerprint=assignment.fingerprint(told),
                phase="Listening",
                state_id="state-1",
                gate_epoch=told.gate_epoch,
                seq=7,
                identity=told.identity,
                uid_validity="1700000000",
                connected=True,
                messages=1234,
                lag=0,
                last_success_time="2026-11-24T08:01:00Z",
            ),
        )

    def _pod(self, selector: str) -> Object:
        def look() -> Object | None:
            pods = [p for p in self.list("pods", selector) if not p["metadata"].get("deletionTimestamp")]
            return pods[0] if pods else None

        found: Object = self.eventually(f"a pod with {selector}", look)
        return found

    def _write_pod_status(self, pod: Object, status: Object) -> None:
        patch = json.dumps({"status": status})
        self.kubectl("patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge", "-p", patch)


def _container(name: str, **state: Object) -> Object:
    ready = "running" in state
    return {"name": name, "image": "x", "imageID": "x", "ready": ready, "restartCount": 0, "state": state}


def probed(job: Object) -> Assignment:
    """What a probe Job is to look at."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (text,) = [e["value"] for e in container["env"] if e["name"] == "MAILFETCH_PROBE"]
    (found,) = assignment.decode(text).connections
    return found


def connection(name: str, **spec: Any) -> Object:
    """A MailConnection."""
    return {
        "apiVersion": "mailfetch.dev/v1alpha1",
        "kind": "MailConnection",
        "metadata": {"name": name},
        "spec": {
            "protocol": "IMAP",
            "server": {"host": "imap.example.com"},
            "auth": {
                "type": "Password",
                "username": f"{name}@example.com",
                "passwordSecretRef": {"name": f"{name}-mailbox"},
            },
            **spec,
        },
    }


@contextlib.contextmanager
def bench_on(cluster: KubernetesTools, namespace: str, folder: Path) -> Iterator[Bench]:
    """A bench in a namespace of its own, which is removed afterwards."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    cluster.kubectl(
        "wait", "--for=condition=Established", f"--timeout={DEADLINE:.0f}s", "crd/mailconnections.mailfetch.dev"
    )
    cluster.kubectl("create", "namespace", namespace)
    bench = Bench(cluster=cluster, namespace=namespace, folder=folder)
    try:
        yield bench
    finally:
        bench.stop()
        cluster.kubectl("delete", "namespace", namespace, "--wait=false", "--ignore-not-found")
