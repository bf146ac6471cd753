"""`test`, `estimate`, `fetch`, `refetch` on a saved connection; the tests play the operator, which echoes the value."""

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.integration.plugin.running import AWAITING, LISTENING, Plugin, annotations, make, report
from tests.servers.redis import wait_until

pytestmark = pytest.mark.cluster
STEPS = [
    {"name": "dns", "ok": True, "detail": "192.0.2.1", "milliseconds": 3},
    {"name": "tcp", "ok": True, "milliseconds": 12},
    {"name": "tls", "ok": False, "detail": "the certificate expired; renew it", "milliseconds": 40},
]
ESTIMATE = AWAITING["estimate"] | {"unseenMessages": 40, "notes": ["no consumer group reads this stream"]}
Answering = Callable[[str, dict[str, Any]], None]


@pytest.fixture
def answering(cluster: ControlPlane, namespace: str) -> Iterator[Answering]:
    """The operator: as soon as the annotation is there, its value is echoed together with a status."""
    threads: list[threading.Thread] = []

    def start(kind: str, status: dict[str, Any]) -> None:
        before = annotations(cluster, namespace, "support").get(f"mailfetch.dev/{kind}", "")

        def answer() -> None:
            def value() -> str:
                found = annotations(cluster, namespace, "support").get(f"mailfetch.dev/{kind}", "")
                return found if found != before else ""

            wait_until(lambda: bool(value()), seconds=120, what=f"the annotation of {kind}")
            report(cluster, namespace, "support", status | {"handledRequests": {kind: value()}})

        threads.append(threading.Thread(target=answer))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def enabled(cluster: ControlPlane, namespace: str, status: dict[str, Any] = LISTENING, **spec: Any) -> None:
    make(cluster, namespace, "support", **spec)
    cluster.kubectl("-n", namespace, "annotate", "mconn", "support", "mailfetch.dev/enable=true")
    report(cluster, namespace, "support", status)


def set_to(done: subprocess.CompletedProcess[str], kind: str) -> str:
    match = re.search(rf'Set mailfetch.dev/{kind}="([^"]+)"', done.stdout + done.stderr)
    assert match, done
    return match[1]


def test_a_test_that_succeeds(cluster: ControlPlane, namespace: str, plugin: Plugin, answering: Answering) -> None:
    make(cluster, namespace, "support")
    answering("test", LISTENING | {"test": {"result": "Succeeded", "steps": STEPS[:2]}})
    done = plugin("test", "support", "-n", namespace)
    assert (done.returncode, done.stderr) == (0, "")
    assert annotations(cluster, namespace, "support")["mailfetch.dev/test"] == set_to(done, "test")
    assert re.search(r"DNS +ok +3 ms +192\.0\.2\.1", done.stdout)
    assert re.search(r"TCP +ok +12 ms", done.stdout)


def test_a_test_that_fails_says_what_to_change(
    cluster: ControlPlane, namespace: str, plugin: Plugin, answering: Answering
) -> None:
    make(cluster, namespace, "support")
    why = "the certificate expired; renew it"
    disabled = {"type": "Ready", "status": "True", "reason": "Disabled", "message": ""}
    failed = {"type": "ConnectionVerified", "status": "False", "reason": "TLSFailed", "message": why}
    answering("test", {"conditions": [disabled, failed], "test": {"result": "Failed", "steps": STEPS}})
    done = plugin("test", "support", "-n", namespace)
    assert done.returncode == 1
    assert re.search(r"TLS +FAILED +40 ms +the certificate expired; renew it", done.stdout)
    assert re.search(r"Not reached +Capability, Login, Folder, Permission", done.stdout)
    assert "kubectl edit mconn support" in done.stdout
    assert done.stderr == "error: the test of support failed\n"


def test_an_estimate_as_a_page_and_for_programs(
    cluster: ControlPlane, namespace: str, plugin: Plugin, answering: Answering
) -> None:
    make(cluster, namespace, "support")
    answering("estimate", AWAITING | {"estimate": ESTIMATE})
    done = plugin("estimate", "support", "-n", namespace)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1,234 of 20,110 in the folder (40 unread)" in done.stdout
    assert "no consumer group reads this stream" in done.stdout

    answering("estimate", AWAITING | {"estimate": ESTIMATE})
    again = plugin("estimate", "support", "-n", namespace, "-o", "json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["status"]["handledRequests"]["estimate"] == set_to(again, "estimate")
    assert set_to(again, "estimate") != set_to(done, "estimate")


def test_fetch_and_refetch_show_the_counters(
    cluster: ControlPlane, namespace: str, plugin: Plugin, answering: Answering
) -> None:
    enabled(cluster, namespace)
    counted = LISTENING | {"fetch": {"messages": 10234, "lag": 0}}
    for args in (("fetch", "support"), ("refetch", "support", "uid:5,7-9")):
        answering(args[0], counted)
        done = plugin(*args, "-n", namespace)
        assert (done.returncode, done.stderr) == (0, "")
        assert "10,234 downloaded" in done.stdout
    assert annotations(cluster, namespace, "support")["mailfetch.dev/refetch"].startswith("uid:5,7-9#")


def test_a_refetch_that_is_refused(cluster: ControlPlane, namespace: str, plugin: Plugin, answering: Answering) -> None:
    enabled(cluster, namespace)
    notice = {"reason": "RefetchRefused", "message": "there is no UID 5", "time": "2026-01-31T12:00:00Z"}
    answering("refetch", LISTENING | {"notices": [notice]})
    done = plugin("refetch", "support", "uid:5", "-n", namespace)
    assert done.returncode == 1
    assert "there is no UID 5" in done.stderr
    assert plugin("refetch", "support", "all", "-n", namespace).returncode == 2


def test_nothing_to_fetch_where_nothing_may_be_downloaded(
    cluster: ControlPlane, namespace: str, plugin: Plugin
) -> None:
    enabled(cluster, namespace, AWAITING)
    done = plugin("fetch", "support", "-n", namespace)
    assert done.returncode == 1
    assert "kubectl mailfetch enable support" in done.stderr
    assert "mailfetch.dev/fetch" not in annotations(cluster, namespace, "support")


def test_not_waiting_and_not_in_time(cluster: ControlPlane, namespace: str, plugin: Plugin) -> None:
    make(cluster, namespace, "support")
    done = plugin("test", "support", "-n", namespace, "--no-wait")
    assert (done.returncode, done.stderr) == (0, "")
    late = plugin("estimate", "support", "-n", namespace, "--timeout", "1")
    assert late.returncode == 6
    assert "kubectl mailfetch status support" in late.stderr
    assert plugin("test", "nobody", "-n", namespace).returncode == 3
