"""Servers of Debian packages that are only unpacked (they conflict with Dovecot's): each in namespaces of its own.

Their paths are compiled in, so the package is laid over /usr and /etc in a private mount namespace; needs root. The
process namespace ends with its first process, and that one with the test runner: nothing can be left behind.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.processes import REPOSITORY, run

DEADLINE = 60.0


def installed(server: str) -> Path:
    """Where a server of `hack/conformance-servers.sh` is; fetched if it is not there yet."""
    return Path(run([REPOSITORY / "hack/conformance-servers.sh", server]).stdout.strip())


class PrivateServer(ABC):
    """A server of an unpacked package: `<name>_inside.sh` runs it, with SCRATCH naming a directory in memory."""

    def __init__(self, name: str) -> None:
        self._unpacked = installed(name)
        self._script = Path(__file__).with_name(f"{name}_inside.sh")
        self._directory = Path(tempfile.mkdtemp(prefix="mail-"))
        self._directory.chmod(0o755)  # the server's users must be able to enter it
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def start(self) -> None:
        """Starts it on its ports, with its users and mails."""

    @abstractmethod
    def _write_files(self) -> None:
        """Makes what it needs in its directory, before the first start."""

    def __enter__(self) -> Self:
        try:
            self._write_files()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._remove()

    def restart(self) -> None:
        """Cuts every connection and starts anew."""
        self._stop()
        self.start()

    @property
    def log(self) -> str:
        """What it printed, for messages of failed tests."""
        return (self._directory / "output").read_text(errors="replace")

    def _run(self, *, ports: tuple[int, ...], variables: Mapping[str, str]) -> None:
        """Runs the script and returns when all ports answer."""
        if os.geteuid() != 0:
            raise RuntimeError("only root can make the mount namespace that this server needs")
        prelude = Path(__file__).with_name("private_mounts.sh")
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]
        command += ["--pid", "--fork", "--kill-child=KILL", "sh", str(prelude)]
        command += [str(self._unpacked), str(self._directory / "scratch"), str(self._script)]
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **variables},
            )
        for port in ports:
            self._await(port)

    def _stop(self) -> None:
        """Ends all of it; the directory stays."""
        process, self._process = self._process, None
        if process:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()

    def _remove(self) -> None:
        """Ends it and removes its directory."""
        self._stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
                return
            time.sleep(0.05)
        raise RuntimeError(f"the server at port {port} did not start:\n{self.log[-3000:]}")
