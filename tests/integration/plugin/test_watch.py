"""`--watch` against a real API server."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.integration.plugin.running import AWAITING, LISTENING, SCRIPT, make, report

pytestmark = pytest.mark.cluster
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(cluster: ControlPlane, namespace: str) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(*args: str, **more: Any) -> "subprocess.Popen[str]":
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "TERM": "xterm-256color"}
        started.append(subprocess.Popen([str(SCRIPT), *args, "-n", namespace], env=environment, text=True, **streams))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def lines(process: "subprocess.Popen[str]") -> IO[str]:
    assert process.stdout
    return process.stdout


def test_a_status_is_followed_to_its_end(cluster: ControlPlane, namespace: str, start: Start) -> None:
    make(cluster, namespace, "support")
    make(cluster, namespace, "other")
    process = start("status", "support", "--watch")
    assert lines(process).readline().split("  ")[1:3] == [f"{namespace}/support", "Unknown"]
    report(cluster, namespace, "other", AWAITING)
    report(cluster, namespace, "support", AWAITING)
    assert "  AwaitingApproval  " in lines(process).readline()
    report(cluster, namespace, "support", LISTENING | {"progress": {"done": 617, "total": 1234}})
    assert "  Idle  Listening  617 of 1,234 (50%)" in lines(process).readline()
    cluster.kubectl("delete", "mconn", "support", "-n", namespace)
    _, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (3, "error: support was deleted\n")


def test_a_list_is_followed_until_it_is_interrupted(cluster: ControlPlane, namespace: str, start: Start) -> None:
    make(cluster, namespace, "support")
    process = start("list", "SUPPORT", "-w", "-o", "name")
    assert lines(process).readline() == "mailconnection.mailfetch.dev/support\n"
    make(cluster, namespace, "billing")  # not of the search
    make(cluster, namespace, "support-2")
    assert lines(process).readline() == "mailconnection.mailfetch.dev/support-2\n"
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout, stderr) == (0, "", "")


def test_a_program_gets_objects(cluster: ControlPlane, namespace: str, start: Start) -> None:
    make(cluster, namespace, "support")
    process = start("status", "support", "-w", "-o", "json")
    text = ""
    while not text.endswith("\n}\n"):
        text += lines(process).readline()
    assert json.loads(text)["metadata"]["name"] == "support"


def test_a_terminal_shows_the_page(cluster: ControlPlane, namespace: str, start: Start) -> None:
    make(cluster, namespace, "support")
    report(cluster, namespace, "support", AWAITING)
    ours, theirs = pty.openpty()
    process = start("status", "support", "--watch", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while b"AwaitingApproval" not in shown:
            shown += os.read(ours, 4096)
        report(cluster, namespace, "support", LISTENING)
        while b"Listening" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 0
    finally:
        os.close(ours)
    assert shown.count(b"\x1b[H") >= 2


def test_a_name_that_is_not_there_is_told_at_once(start: Start) -> None:
    process = start("status", "nobody", "--watch")
    process.communicate(timeout=120)
    assert process.returncode == 3
