"""examples/consumer.py as it is, as a process with the documented user: each mail once, whatever is done to it."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailfetch_fetcher.store.model import Batch
from tests.integration.store.helpers import STREAM, Store
from tests.integration.tools.helpers import GROUP, ROOT, Tools, filled, large, letter, mark_of, read
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, wait_until

CONSUMER = ROOT / "examples/consumer.py"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "mails.sqlite3"


@pytest.fixture
def start(server: RedisServer, store: Store, database: Path) -> Iterator[Start]:
    """Starts a worker; all end with the test."""
    page = (ROOT / "docs/consumers.md").read_text()
    (line,) = [line for line in page.splitlines() if line.startswith("ACL SETUSER tickets")]
    store.client.execute_command(*line.split())
    running: list[subprocess.Popen[bytes]] = []

    def begin(*words: str, name: str = "worker-1", port: int = server.port) -> "subprocess.Popen[bytes]":
        url = f"redis://tickets:PASSWORD@127.0.0.1:{port}"
        fixed = ["--stream", "helpdesk/support", "--group", GROUP, "--consumer", name, "--database", str(database)]
        running.append(subprocess.Popen([sys.executable, str(CONSUMER), url, *fixed, "--idle", "0.2", *words]))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def kept(database: Path) -> list[str]:
    if not database.exists():
        return []
    with sqlite3.connect(database) as opened:
        try:
            return [row[0] for row in opened.execute("SELECT subject FROM mails")]
        except sqlite3.OperationalError:  # no table yet
            return []


def steps(store: Store, step: str) -> list[str]:
    return [line["subject"] for line in store.log() if line["step"] == step]


def test_each_mail_is_handled_once_although_workers_are_killed(
    store: Store, start: Start, database: Path, proxy: FaultProxy
) -> None:
    mailbox = filled(store, *range(1, 121))
    large(mailbox, 121, b"Subject: large\r\n\r\n" + b"x" * 100_000)
    start(name="worker-2")
    for goal in (10, 25, 40, 55, 70):
        victim = start(port=proxy.port)
        wait_until(lambda goal=goal: len(kept(database)) >= goal, what=f"{goal} mails")  # type: ignore[misc]
        proxy.freeze()  # wherever it is now: it cannot tell Redis
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        proxy.thaw()
    start()
    wait_until(lambda: len(steps(store, "processed")) >= 121, what="all mails")
    subjects = sorted(f"subject {uid}" for uid in range(1, 122))
    assert sorted(kept(database)) == subjects
    assert sorted(steps(store, "processed")) == subjects
    assert store.client.xpending(STREAM.queue, GROUP)["pending"] == 0
    assert store.client.hlen(STREAM.marks) == 0


def test_what_a_killed_worker_had_in_hand_is_taken_over(store: Store, start: Start, database: Path) -> None:
    filled(store, 1, 2)
    assert len(read(store, consumer="dead")) == 2
    start(name="worker-2")
    wait_until(lambda: len(steps(store, "processed")) == 2, what="both mails")
    assert sorted(kept(database)) == ["subject 1", "subject 2"]


def test_what_it_had_in_hand_itself_comes_first(store: Store, start: Start, database: Path) -> None:
    filled(store, 1, 2, 3)
    read(store, 2, consumer="worker-1")
    process = start("--once", "--idle", "3600")
    assert process.wait(60) == 0
    assert kept(database) == ["subject 1", "subject 2", "subject 3"]


def test_a_lost_reply_is_asked_for_again(store: Store, start: Start, database: Path, proxy: FaultProxy) -> None:
    filled(store, 1, 2)
    proxy.lose_reply_to(b"Processed")
    assert start("--once", port=proxy.port).wait(60) == 0
    assert proxy.faults == 1
    assert sorted(steps(store, "processed")) == ["subject 1", "subject 2"]


def test_bulk_mail_is_filtered_and_a_broken_body_is_failed(
    store: Store, start: Start, tools: Tools, database: Path
) -> None:
    mailbox = filled(store, 1)
    mailbox.commit(Batch(mails=[letter(2, body=b"Precedence: bulk\r\n\r\nbuy")], cursor="1700000000/2"))
    mailbox.commit(Batch(mails=[replace(letter(3), sha256="11" * 32)], cursor="1700000000/3"))
    assert start("--once").wait(60) == 0
    assert kept(database) == ["subject 1"]
    assert tools.states() == {"subject 2": "Filtered", "subject 3": "Failed"}
    assert mark_of(store, store.ids()[1])[GROUP]["why"] == "sent in bulk"
    assert mark_of(store, store.ids()[2])[GROUP]["why"] == "the body is not what was stored"


def test_what_fails_again_and_again_becomes_a_dead_letter(store: Store, start: Start, database: Path) -> None:
    with sqlite3.connect(database) as opened:
        opened.execute("CREATE TABLE mails (id TEXT PRIMARY KEY, subject TEXT, size INTEGER)")
        opened.execute(
            "CREATE TRIGGER t BEFORE INSERT ON mails WHEN NEW.subject = 'subject 1' "
            "BEGIN SELECT RAISE(ABORT, 'no such customer'); END"
        )
    filled(store, 1, 2)
    start("--deliveries", "3")
    wait_until(lambda: mark_of(store, store.ids()[0]) is not None, what="the dead letter")
    mark = mark_of(store, store.ids()[0])[GROUP]
    assert mark["state"] == "Failed"
    assert mark["why"] == "delivery 3: IntegrityError: no such customer"
    assert len(steps(store, "attempt failed")) == 2
    wait_until(lambda: kept(database) == ["subject 2"], what="the other mail")


def test_a_mail_that_kills_whoever_handles_it_is_given_up(store: Store, start: Start, database: Path) -> None:
    filled(store, 1)
    (entry,) = read(store, consumer="worker-1")
    for _ in range(3):
        store.client.xclaim(STREAM.queue, GROUP, "worker-1", 0, [entry])
    assert start("--once", "--deliveries", "3").wait(60) == 0
    assert mark_of(store, entry)[GROUP]["why"].startswith("given up after ")
    assert kept(database) == []


def test_it_ends_when_it_is_told_to(store: Store, start: Start, database: Path) -> None:
    filled(store, 1)
    process = start()
    wait_until(lambda: len(steps(store, "processed")) == 1, what="the mail")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
