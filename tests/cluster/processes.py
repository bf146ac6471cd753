"""Processes of a test cluster that cannot outlive the test runner, and commands with readable failures."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


class CommandFailed(RuntimeError):
    """A command ended with another status than 0; the message holds its output."""

    def __init__(self, result: subprocess.CompletedProcess[str]) -> None:
        command = " ".join(map(str, result.args))
        output = "\n".join(part.strip() for part in (result.stdout, result.stderr) if part and part.strip())
        super().__init__(f"`{command}` ended with status {result.returncode}:\n{output}")
        self.returncode = result.returncode
        self.stdout = result.stdout
        self.stderr = result.stderr


def run(
    argv: Sequence[str | Path],
    *,
    input: str | None = None,  # as in subprocess.run
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Runs a command and captures its output; raises CommandFailed unless `check` is off."""
    stdin: dict[str, Any] = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
    result = subprocess.run(
        list(map(str, argv)), text=True, capture_output=True, env={**os.environ, **(env or {})}, check=False, **stdin
    )
    if check and result.returncode != 0:
        raise CommandFailed(result)
    return result


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports of 127.0.0.1 that nothing listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


class Processes:
    """Background processes that end with this object, or with the whole test runner (see supervisor.py)."""

    def __init__(self) -> None:
        self._supervisor = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("supervisor.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            start_new_session=True,  # Ctrl-C is for the test runner; the end of its input is for the supervisor.
        )

    def _order(self, **order: Any) -> dict[str, Any]:
        assert self._supervisor.stdin is not None
        assert self._supervisor.stdout is not None
        self._supervisor.stdin.write(json.dumps(order) + "\n")
        self._supervisor.stdin.flush()
        answer: dict[str, Any] = json.loads(self._supervisor.stdout.readline())
        return answer

    def start(self, name: str, argv: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        """Starts a process; its output is appended to `log`."""
        self._order(start=name, argv=list(map(str, argv)), log=str(log), env=dict(env or {}))

    def at_end(self, argv: Sequence[str | Path]) -> None:
        """Runs a command after all processes have ended, also when the test runner crashed."""
        self._order(at_end=list(map(str, argv)))

    def remove_at_end(self, folder: Path) -> None:
        """Removes a folder after all processes have ended, also when the test runner crashed."""
        self._order(remove=str(folder))

    def exited(self) -> dict[str, int]:
        """The processes that have ended by themselves, with their status."""
        statuses: dict[str, int] = self._order(exited=True)["exited"]
        return statuses

    def stop(self) -> None:
        """Kills all processes and returns when the clean-up is done."""
        self._supervisor.communicate()
