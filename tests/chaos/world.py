"""A mailbox, a Redis, proxies before both, and fetcher processes that may be killed.

The fetcher runs as a process of its own (`mailfetch-fetcher run -f FILE`) and is never hooked into. What came of it is
judged in `judge`, which shares nothing with it: the mailbox itself on one side, raw Redis on the other.
"""

import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.chaos import judge
from tests.chaos.consumer import Consumer
from tests.chaos.fetcher import Fetcher
from tests.chaos.inboxes import Inbox
from tests.servers import checker, mailgen
from tests.servers.redis import wait_until

Protocol = Literal["IMAP", "POP3", "MicrosoftGraph"]
Action = Literal["None", "MarkSeen", "Delete", "Move"]
ACTIONS: tuple[Action, ...] = ("None", "MarkSeen", "Delete", "Move")
LEASE = 2.0
DEADLINE = 120.0
LARGE = (70_000, 300_000, 1_500_000)
"""Bytes of the mails that become blobs."""
HELD = ("StoreWentBack",)
"""Why after-download actions wait for people."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What the connection of a world is like.

    Attributes:
        redis_url: Where the fetcher finds Redis.
        spec: Parts of `spec` that replace the usual ones.
        lease: Seconds.
    """

    redis_url: str
    action: Action
    protocol: Protocol = "IMAP"
    spec: Mapping[str, Any] = field(default_factory=dict)
    lease: float = LEASE


class World:
    """Use `world`.

    Attributes:
        inbox: Where the mails are.
        originals: Every mail that was ever in the folder, by UID, unless people removed it meanwhile.
        left: UIDs of mails that people removed after they were downloaded.
        kept: UIDs that no action is wanted for (they were known before the action was set).
        unwanted: UIDs of mails that are not to be downloaded (they were there before the baseline).
        again: UIDs of mails that are to be downloaded once more.
        consumer: Reads and acknowledges the stream, if there is one.
        requests: Annotations that people have set; with them the fetcher runs as in a pod.
        variables: Environment of the fetchers that are started from now on.
    """

    def __init__(
        self,
        *,
        directory: Path,
        inbox: Inbox,
        client: Callable[[], Any],
        stream: str,
        setup: Setup,
    ) -> None:
        self.directory = directory
        self.inbox = inbox
        self._client = client
        self.setup = setup
        self.action: Action = setup.action
        self.queue = f"mail:{{default/{stream}}}:queue"
        self.keys = f"mail:{{default/{stream}}}:conn:chaos"
        self.manifest = directory / "manifest.yaml"
        self.fetchers: list[Fetcher] = []
        self.originals: dict[int, checker.Original] = {}
        self.left: set[int] = set()
        self.kept: set[int] = set()
        self.unwanted: set[int] = set()
        self.again: set[int] = set()
        self.consumer: Consumer | None = None
        self.requests: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self._stream = stream
        self.configure()

    # -- mails -----------------------------------------------------------------------------

    def fill(self, count: int, rng: random.Random, *, large: tuple[int, ...] = LARGE, read: int = 0) -> None:
        """So many mails, some of them large, and the first few read already."""
        seed = rng.randrange(10**6)
        mails = list(mailgen.mails(count, seed=seed))
        for size in large:
            mails.insert(rng.randrange(1, count), mailgen.large_mail(size, seed=seed))  # a blob ends a batch
        self.inbox.fill(mails, read=read)
        self.look()

    def look(self) -> None:
        """Takes the mails that are in the folder now for originals."""
        self.originals |= self.inbox.mails()

    # -- fetchers --------------------------------------------------------------------------

    def start(self, pod_uid: str = "pod-1") -> Fetcher:
        words = ["tests.chaos.pod"] if self.requests else ["mailfetch_fetcher.main", "run", "--yes"]
        words += ["-f", str(self.manifest), "--redis", self.setup.redis_url]
        for name, value in self.requests.items():
            words += ["--request", f"{name}={value}"]
        variables = {"MAILFETCH_LEASE_SECONDS": str(self.setup.lease), **self.inbox.environment(self.variables)}
        made = Fetcher(pod_uid, words=words, directory=self.directory, variables=variables)
        self.fetchers.append(made)
        return made

    def end(self, fetcher: Fetcher) -> None:
        """kill -9."""
        fetcher.kill()
        self.fetchers.remove(fetcher)

    def stop(self, fetcher: Fetcher) -> None:
        """SIGTERM, as a node does it; it must end by itself, in good order."""
        wait_until(lambda: bool(fetcher.report()), what="the fetcher has begun")  # before, a signal just kills it
        assert fetcher.term() == 0, fetcher.log.read_text()[-3000:]
        self.fetchers.remove(fetcher)

    # -- looking ---------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """Of Redis, past the proxies."""
        return self._client()

    def stored(self) -> int:
        """Mails in the stream, or read from it."""
        if self.consumer:
            return len(self.consumer.entries())
        return int(self.client.xlen(self.queue))

    def owner(self) -> bytes:
        """Who may write."""
        return self.client.hget(f"{self.keys}:state", "owner") or b""

    def pending(self) -> int:
        """After-download actions that are not carried out yet."""
        return int(self.client.zcard(f"{self.keys}:outbox"))

    def untouched(self) -> set[int]:
        """UIDs on which no after-download action was carried out."""
        flags = self.inbox.flags()
        if self.action == "MarkSeen":
            return {uid for uid, names in flags.items() if "\\seen" not in names}
        return set(flags)

    def wanted(self) -> dict[int, checker.Original]:
        """What must be in the stream; a mail that comes once more stands here under a second key."""
        once = {uid: mail for uid, mail in self.originals.items() if uid not in self.unwanted}
        return once | {uid + 2**40: self.originals[uid] for uid in self.again}

    def entries(self) -> list[checker.Entry]:
        return self.consumer.entries() if self.consumer else checker.read_stream(self.client, self.queue)

    def check_now(self) -> None:
        """At any moment: nothing doubled, and nothing touched whose mail is not in the stream."""
        touched = set(self.originals) - self.untouched()  # read before the stream, which only grows
        judge.check_now(self.wanted(), self.entries(), touched=touched - self.unwanted)

    def done(self) -> bool:
        """Every mail is in the stream and every action carried out."""
        return self.stored() >= len(self.wanted()) and self.pending() == 0

    def wait_until_done(self, *, seconds: float = DEADLINE) -> None:
        """The fetchers that run get there by themselves."""
        end = time.monotonic() + seconds
        while not self.done():
            for fetcher in list(self.fetchers):
                assert fetcher.process.poll() is None, f"a fetcher ended: {fetcher.log.read_text()[-3000:]}"
                if fetcher.report().get("actions", {}).get("reason") in HELD:
                    # It does right to wait for people. They may also start it anew.
                    self.end(fetcher)
                    self.start()
            assert time.monotonic() < end, self.told()
            time.sleep(0.1)

    def told(self) -> str:
        """For messages of failed tests."""
        logs = "".join(f"\n--- {f.pod_uid}: {f.report()}\n{f.log.read_text()[-3000:]}" for f in self.fetchers)
        return f"{self.stored()} of {len(self.wanted())} stored, {self.pending()} actions pending{logs}"

    def judge(self) -> None:
        """The end: exactly once, byte for byte; every action done, nothing left over; the lease given back."""
        judge.check_end(self)
        for fetcher in list(self.fetchers):
            self.stop(fetcher)
            owner = (self.client.get(f"{self.keys}:lease") or b"").split(b" ")[0].decode()
            assert owner != fetcher.pod_uid  # another one's may still run out
        for log in self.directory.glob("*.log"):
            assert "Traceback" not in log.read_text(), log.read_text()[-3000:]

    def close(self) -> None:
        """Leaves no process behind."""
        for fetcher in self.fetchers:
            fetcher.kill()
        self.fetchers = []
        if self.consumer:
            self.consumer.close()

    # -- the manifest ----------------------------------------------------------------------

    def configure(self, *, action: Action | None = None) -> None:
        """Writes the manifest that the next fetcher reads."""
        setup = self.setup
        self.action = action or self.action
        after = {"action": self.action} | ({"folder": "Done"} if self.action == "Move" else {})
        spec: dict[str, Any] = {
            "protocol": setup.protocol,
            **self.inbox.spec(),
            "tls": {"caSecretRef": {"name": "ca"}},
            "schedule": {"interval": "10s", "timeout": "10s"},
            "afterDownload": after,
            "queue": {"stream": self._stream},
        }
        for name, value in setup.spec.items():
            spec[name] = {**spec[name], **value} if name in spec and isinstance(value, dict) else value
        documents: list[dict[str, Any]] = [{"kind": "MailConnection", "metadata": {"name": "chaos"}, "spec": spec}]
        documents += [
            {"kind": "Secret", "metadata": {"name": n}, "stringData": v} for n, v in self.inbox.secrets().items()
        ]
        self.manifest.write_text("\n---\n".join(map(json.dumps, documents)))
        if self.action == "Move":
            self.inbox.make_folder("Done")


@contextlib.contextmanager
def world(**parts: Any) -> Iterator[World]:
    """A world that leaves no process behind."""
    made = World(**parts)
    try:
        yield made
    finally:
        made.close()
