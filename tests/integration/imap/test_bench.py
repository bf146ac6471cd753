"""The test bench itself: it leaves nothing behind, and the checker agrees with Dovecot."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.servers.certs import Certificates
from tests.servers.checker import Mailbox, check, read_mailbox
from tests.servers.dovecot import Dovecot
from tests.servers.mailgen import mails
from tests.servers.redis import RedisServer

REPOSITORY = Path(__file__).resolve().parents[3]
RUNNER = """
import sys, time
from pathlib import Path
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
server = Dovecot(Certificates(directory=Path(sys.argv[1])))
server.start()
print(server.imap_port, server.directory, flush=True)
time.sleep(600)
"""


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        return s.recv(10).startswith(b"* OK")
    return False


def test_dovecot_dies_with_its_runner(certificates: Certificates) -> None:
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(certificates.directory)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert runner.stdout is not None
    port, directory = runner.stdout.readline().split()
    assert answers(int(port))
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    deadline = time.monotonic() + 60
    while answers(int(port)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(int(port))
    subprocess.run(["rm", "-rf", directory], check=True)


def test_nothing_is_left_behind(certificates: Certificates) -> None:
    with Dovecot(certificates) as server:
        assert answers(server.imap_port)
        with server.client("user1@mail.test"):
            pass
    assert not server.directory.exists()
    assert not answers(server.imap_port)


def test_the_checker_reads_what_was_delivered(dovecot: Dovecot, user: str, certificates: Certificates) -> None:
    raws = dovecot.fill(user, mails(450))
    dovecot.append(user, raws[0], flags=r"(\Seen)")
    mailbox = Mailbox(host="127.0.0.1", port=dovecot.imaps_port, user=user, password="secret", ca=certificates.ca)
    originals = read_mailbox(mailbox)
    assert sorted(originals) == list(range(1, 452))
    assert [originals[n].sha256 for n in range(1, 451)] == [hashlib.sha256(raw).hexdigest() for raw in raws]
    assert "\\seen" in originals[451].flags
    assert "\\seen" not in originals[1].flags


def test_a_changed_password_counts_when_add_user_returns(dovecot: Dovecot, user: str) -> None:
    dovecot.add_user(user, "another")
    with dovecot.client(user):
        pass


def test_the_checker_reads_bodies_and_blobs(dovecot: Dovecot, user: str, certificates: Certificates) -> None:
    """A stream written by hand as the documentation of the queue has it: one mail inline, one as a blob, one wrong."""
    raws = dovecot.fill(user, mails(4))
    mailbox = Mailbox(host="127.0.0.1", port=dovecot.imaps_port, user=user, password="secret", ca=certificates.ca)
    with RedisServer() as redis:
        client = redis.client()
        for uid, raw in enumerate(raws[:3], start=1):
            where, body = ("raw", raw) if uid == 1 else ("blob", f"blob{uid}".encode())
            client.xadd(
                "queue",
                {
                    "id": f"id{uid}",
                    "connection": "c",
                    "uid": uid,
                    "size": len(raw),
                    "sha256": hashlib.sha256(raw).hexdigest(),
                    where: body,
                },
            )
        client.set("blob2", raws[1])
        client.set("blob3", raws[2][:-1])
        verdict = check(mailbox, redis_url=redis.url, stream="queue", connection="c", expect_seen=True)
        assert (verdict.lost, verdict.wrong_bytes, verdict.wrong_claims) == ([4], [3], [3])
        assert verdict.unseen == [1, 2, 3, 4]
        assert check(mailbox, redis_url=redis.url, stream="queue", connection="other").entries == 0
