"""A fetcher as a process of its own, never hooked into."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Fetcher:
    """One process."""

    def __init__(self, pod_uid: str, *, words: Sequence[str], directory: Path, variables: Mapping[str, str]) -> None:
        """Starts it.

        Args:
            pod_uid: Its pod.
            words: The command line behind `python -m`.
            directory: For its log.
            variables: Its environment, beyond the test's.
        """
        self.pod_uid = pod_uid
        self.http = quiet_port()
        self.log = directory / f"{pod_uid}-{self.http}.log"
        command = [sys.executable, "-m", *words, "--http", str(self.http)]
        environment = os.environ | {"POD_UID": pod_uid, **variables}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def term(self) -> int:
        """SIGTERM; the exit code. A pod has 30 s."""
        self.process.terminate()
        return self.process.wait(30)

    def report(self) -> dict[str, Any]:
        """What it tells of the connection; empty while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/report", timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)["connections"].get("chaos", {})
                return found
        except (OSError, KeyError):
            return {}


def quiet_port() -> int:
    """A free port that no outgoing connection takes before it is used: below those that the kernel hands out."""
    for port in _ports:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError


_ports = itertools.cycle(range(12_000 + os.getpid() % 180 * 100, 12_100 + os.getpid() % 180 * 100))
