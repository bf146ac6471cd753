"""A mailbox, a Redis, proxies before both, and fetcher processes that may be killed; and the judge of what came of it.

The fetcher runs as a process of its own (`mailfetch-fetcher run -f FILE`). The judge shares nothing with it: raw IMAP
on one side, raw Redis on the other.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from tests.servers import checker, mailgen
from tests.servers.dovecot import Dovecot
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer, free_port, wait_until

Action = Literal["None", "MarkSeen", "Delete", "Move"]
ACTIONS: tuple[Action, ...] = ("None", "MarkSeen", "Delete", "Move")
LEASE = 2.0
DEADLINE = 120.0
STREAM = "mail:{default/chaos}:queue"
CONNECTION = "mail:{default/chaos}:conn:chaos"
COMMIT = b"-- One commit"
"""In the command of every commit."""


class Fetcher:
    """One process."""

    def __init__(self, world: "World", pod_uid: str) -> None:
        self.pod_uid = pod_uid
        self.http = free_port()
        self.log = world.directory / f"{pod_uid}-{self.http}.log"
        command = [sys.executable, "-m", "mailfetch_fetcher.main", "run", "--yes", "-f", str(world.manifest)]
        command += ["--redis", f"redis://127.0.0.1:{world.redis_proxy.port}/0", "--http", str(self.http)]
        variables = {"POD_UID": pod_uid, "MAILFETCH_LEASE_SECONDS": str(LEASE)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | variables)

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


class World:
    """Use `world`."""

    def __init__(self, *, directory: Path, dovecot: Dovecot, redis: RedisServer, user: str, action: Action) -> None:
        self.directory = directory
        self.dovecot = dovecot
        self.redis = redis
        self.user = user
        self.action: Action = action
        self.imap_proxy = FaultProxy(dovecot.imaps_port)
        self.redis_proxy = FaultProxy(redis.port)
        self.manifest = directory / "manifest.yaml"
        self.fetchers: list[Fetcher] = []
        self.originals: dict[int, checker.Original] = {}
        self._manifest()

    # -- mails -----------------------------------------------------------------------------

    def fill(self, count: int, rng: random.Random) -> None:
        """So many mails, some of them large, and one in ten read already."""
        mails = list(mailgen.mails(count, seed=rng.randrange(1000)))
        for size in (70_000, 300_000, 1_500_000):
            mails.insert(rng.randrange(count), mailgen.large_mail(size))
        self.dovecot.fill(self.user, mails)
        with self.dovecot.client(self.user, folder="INBOX") as imap:
            if self.action == "None":
                imap.uid("STORE", f"1:{count // 10}", "+FLAGS", r"(\Seen)")
        self.originals = checker.read_mailbox(self.mailbox())

    def mailbox(self, folder: str = "INBOX") -> checker.Mailbox:
        return checker.Mailbox(
            host="127.0.0.1",
            port=self.dovecot.imaps_port,
            user=self.user,
            password=self.dovecot.password(self.user),
            folder=folder,
            ca=self.dovecot.certificates.ca,
        )

    # -- fetchers --------------------------------------------------------------------------

    def start(self, pod_uid: str = "pod-1") -> Fetcher:
        made = Fetcher(self, pod_uid)
        self.fetchers.append(made)
        return made

    def end(self, fetcher: Fetcher) -> None:
        """kill -9."""
        fetcher.kill()
        self.fetchers.remove(fetcher)

    # -- looking ---------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """Of Redis, past the proxy."""
        return self.redis.client()

    def stored(self) -> int:
        """Mails in the stream."""
        return int(self.client.xlen(STREAM))

    def owner(self) -> bytes:
        """Who may write."""
        return self.client.hget(f"{CONNECTION}:state", "owner") or b""

    def untouched(self) -> set[int]:
        """UIDs on which no after-download action was carried out."""
        flags = self.dovecot.flags(self.user)
        if self.action == "MarkSeen":
            return {uid for uid, names in flags.items() if "\\seen" not in names}
        return set(flags)

    def copied(self) -> int:
        """Mails in the target of Move."""
        return len(self.dovecot.flags(self.user, folder="Done"))

    def check_now(self) -> None:
        """At any moment: nothing doubled, and nothing touched whose mail is not in the stream."""
        touched = set(self.originals) - self.untouched()  # read before the stream, which only grows
        verdict = checker.compare(self.originals, self.entries())
        assert not verdict.doubled, verdict
        assert not verdict.doubled_ids, verdict
        assert not touched & set(verdict.lost), f"touched, but not in the stream: {touched & set(verdict.lost)}"

    def entries(self) -> list[checker.Entry]:
        return checker.read_stream(self.client, STREAM)

    def done(self) -> bool:
        """Every mail is in the stream and every action carried out."""
        if self.stored() < len(self.originals):
            return False
        return self.client.zcard(f"{CONNECTION}:outbox") == 0 and (self.action == "None" or not self.untouched())

    def wait_until_done(self) -> None:
        """The fetchers that run get there by themselves."""
        end = time.monotonic() + DEADLINE
        while not self.done():
            for fetcher in list(self.fetchers):
                assert fetcher.process.poll() is None, f"a fetcher ended: {fetcher.log.read_text()[-3000:]}"
                if fetcher.report().get("actions", {}).get("reason") == "StoreWentBack":
                    # It does right to wait for people. They may also start it anew.
                    self.end(fetcher)
                    self.start()
            assert time.monotonic() < end, self.told()
            time.sleep(0.1)

    def told(self) -> str:
        """For messages of failed tests."""
        logs = "".join(f"\n--- {f.pod_uid}: {f.report()}\n{f.log.read_text()[-3000:]}" for f in self.fetchers)
        return f"{self.stored()} of {len(self.originals)} stored, {len(self.untouched())} untouched{logs}"

    def judge(self) -> None:
        """The end: exactly once, byte for byte; every action done, nothing left over; the lease given back."""
        verdict = checker.compare(self.originals, self.entries())
        assert verdict.ok, verdict
        contents = Counter(o.sha256 for o in self.originals.values())
        left = Counter(o.sha256 for o in checker.read_mailbox(self.mailbox()).values())
        assert left == (Counter() if self.action in ("Delete", "Move") else contents)
        if self.action == "Move":
            assert Counter(o.sha256 for o in checker.read_mailbox(self.mailbox("Done")).values()) == contents
        if self.action == "None":
            flags = {uid: o.flags for uid, o in checker.read_mailbox(self.mailbox()).items()}
            assert flags == {uid: o.flags for uid, o in self.originals.items()}
        for fetcher in self.fetchers:
            wait_until(lambda one=fetcher: bool(one.report()), what="it has begun")  # type: ignore[misc]
            assert fetcher.term() == 0
            owner = (self.client.get(f"{CONNECTION}:lease") or b"").split(b" ")[0].decode()
            assert owner != fetcher.pod_uid  # another one's may still run out
        for log in self.directory.glob("*.log"):
            assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
        assert self.client.zcard(f"{CONNECTION}:outbox") == 0

    def close(self) -> None:
        """Leaves no process behind."""
        for fetcher in self.fetchers:
            fetcher.kill()
        self.imap_proxy.close()
        self.redis_proxy.close()

    def _manifest(self) -> None:
        ca = self.dovecot.certificates.ca.read_text()
        after = {"action": self.action} | ({"folder": "Done"} if self.action == "Move" else {})
        spec = {
            "protocol": "IMAP",
            "server": {"host": "127.0.0.1", "port": self.imap_proxy.port},
            "tls": {"caSecretRef": {"name": "ca"}},
            "auth": {"type": "Password", "username": self.user, "passwordSecretRef": {"name": "mailbox"}},
            "schedule": {"interval": "10s", "timeout": "10s"},
            "afterDownload": after,
        }
        password = self.dovecot.password(self.user)
        documents = [
            {"kind": "MailConnection", "metadata": {"name": "chaos"}, "spec": spec},
            {"kind": "Secret", "metadata": {"name": "mailbox"}, "stringData": {"password": password}},
            {"kind": "Secret", "metadata": {"name": "ca"}, "stringData": {"ca.crt": ca}},
        ]
        self.manifest.write_text("\n---\n".join(map(json.dumps, documents)))
        if self.action == "Move":
            self.dovecot.create_folder(self.user, "Done")


@contextmanager
def world(**parts: Any) -> Iterator[World]:
    """A world that leaves no process behind."""
    made = World(**parts)
    try:
        yield made
    finally:
        made.close()
