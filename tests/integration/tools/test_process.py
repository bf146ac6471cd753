"""The tools as processes and with the Redis user of the documentation."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.store.helpers import Store
from tests.integration.tools.helpers import DELETE, ROOT, Tools, end, filled, large, read
from tests.servers.redis import RedisServer, wait_until

MAIN = [sys.executable, "-m", "mailfetch_fetcher.main", "tools"]


@pytest.fixture
def idle() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([*MAIN, "idle"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield process
        process.kill()


def waits(process: "subprocess.Popen[bytes]") -> bool:
    """It has come to where signals are waited for."""
    return "sigtimedwait" in Path(f"/proc/{process.pid}/wchan").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_ends_at_once_and_well(idle: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    wait_until(lambda: waits(idle), what="the idle process")
    idle.send_signal(number)
    assert idle.communicate(timeout=30) == (b"", b"")
    assert idle.returncode == 0


def test_idle_loads_little(idle: "subprocess.Popen[bytes]") -> None:
    wait_until(lambda: waits(idle), what="the idle process")
    assert "ssl" not in Path(f"/proc/{idle.pid}/maps").read_text()  # neither Redis nor mail servers


def test_an_error_is_one_line() -> None:
    done = subprocess.run([*MAIN, "queue", "--stream", "support"], capture_output=True, text=True, env={}, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_the_user_of_the_documentation_suffices(server: RedisServer, store: Store, tools: Tools) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("ACL SETUSER mailfetch-helpdesk")]
    store.client.execute_command(*line.partition("#")[0].split())
    tools.use(f"redis://mailfetch-helpdesk:PASSWORD@127.0.0.1:{server.port}/0")
    mailbox = filled(store, 1, action=DELETE)
    large(mailbox, 2, b"x" * 100_000, action=DELETE)
    for entry in read(store):
        end(store.client, entry, "Failed", "?")
    assert tools.json("queue")["counts"]["Failed"] == 2
    assert tools.json("log", "--id", "2@example.com")["lines"]
    assert tools.json("show", "2@example.com")["log"]
    assert tools.run("show", "--stream", "support", "--raw", "2@example.com")[0] == 0
    assert len(tools.json("requeue", "1@example.com", "2@example.com")["requeued"]) == 2
    assert tools.json("purge", "--search", "subject")["kept"] == 2
    assert tools.json("purge", "--state", "New")["purged"] == 2
    assert tools.json("purge", "--log", "--search", "subject")["purged"] > 4
