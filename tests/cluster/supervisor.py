"""Owns the processes of a test cluster; run as a script, with one order (a JSON object) per line on standard input.

It lives exactly as long as that input is open. When the test runner ends it, or dies for whatever reason, everything
started here is killed, the clean-up commands run and the folders are removed. Only the standard library is used.

Orders and their answers (one line each):
    {"start": NAME, "argv": [...], "log": PATH, "env": {...}}   {}
    {"exited": true}                                            {"exited": {NAME: STATUS, ...}}
    {"at_end": [COMMAND, ARGUMENT...]}                          {}
    {"remove": PATH}                                            {}
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


class Supervisor:
    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.at_end: list[list[str]] = []
        self.folders: list[str] = []

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if "start" in order:
            self.start(order["start"], order["argv"], order["log"], order["env"])
        elif "at_end" in order:
            self.at_end.append(order["at_end"])
        elif "remove" in order:
            self.folders.append(order["remove"])
        elif "exited" in order:
            statuses = {name: process.poll() for name, process in self.processes.items()}
            return {"exited": {name: status for name, status in statuses.items() if status is not None}}
        return {}

    def start(self, name: str, argv: list[str], log: str, env: dict[str, str]) -> None:
        with open(log, "ab") as output:
            self.processes[name] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **env},
                preexec_fn=_die_with_parent,
            )

    def end(self) -> None:
        # SIGKILL: an API server that is asked politely waits a minute for its etcd, and nothing here is worth keeping.
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        for command in self.at_end:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    signal.signal(signal.SIGTERM, _terminated)
    supervisor = Supervisor()
    try:
        for line in sys.stdin:
            print(json.dumps(supervisor.obey(json.loads(line))), flush=True)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        supervisor.end()


if __name__ == "__main__":
    main()
