"""Whatever happens to the test runner, its processes and folders go with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.processes import REPOSITORY, CommandFailed, Processes, free_ports, run

RUNNER = """
import sys, time
from pathlib import Path
from tests.cluster.processes import Processes
folder = Path(sys.argv[1])
processes = Processes()
processes.remove_at_end(folder / "state")
processes.at_end(["touch", folder / "cleaned"])
processes.start("sleeper", ["sh", "-c", "echo $$; exec sleep 1000"], log=folder / "log")
print("started", flush=True)
time.sleep(1000)
"""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true within a minute"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def sleeper_pid(log: Path) -> int:
    wait_until(lambda: log.exists() and log.read_text().endswith("\n"))
    return int(log.read_text())


def test_processes_and_folders_end_with_a_killed_runner(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    command = [sys.executable, "-c", RUNNER, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == b"started\n"
        pid = sleeper_pid(tmp_path / "log")
        assert is_alive(pid)
        runner.kill()
    wait_until(lambda: not (tmp_path / "state").exists())
    assert not is_alive(pid)
    assert (tmp_path / "cleaned").exists()


def test_stop_ends_processes_that_ignore_signals(tmp_path: Path) -> None:
    processes = Processes()
    processes.start("stubborn", ["sh", "-c", "trap '' TERM INT HUP; echo $$; sleep 1000"], log=tmp_path / "log")
    pid = sleeper_pid(tmp_path / "log")
    os.kill(pid, signal.SIGTERM)
    assert is_alive(pid)
    processes.stop()
    assert not is_alive(pid)


def test_exited_names_the_processes_that_ended_by_themselves(tmp_path: Path) -> None:
    processes = Processes()
    processes.start("failing", ["sh", "-c", "exit 3"], log=tmp_path / "log")
    processes.start("running", ["sleep", "1000"], log=tmp_path / "log")
    wait_until(lambda: bool(processes.exited()))
    assert processes.exited() == {"failing": 3}
    processes.stop()


def test_a_failed_command_shows_its_output() -> None:
    with pytest.raises(CommandFailed, match=r"(?s)`sh -c .*` ended with status 4:.*the reason"):
        run(["sh", "-c", "echo the reason >&2; exit 4"])


def test_free_ports_are_distinct() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
