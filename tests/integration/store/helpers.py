"""Mails, mailboxes and looks into Redis for the tests of the store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.keys import ConnectionKeys, StreamKeys
from mailfetch_fetcher.store.lease import LeaseKeeper
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import (
    Batch,
    Blob,
    LogLine,
    Mail,
    Owner,
    Quarantined,
    QueuePolicy,
    State,
    WantedAction,
)
from mailfetch_fetcher.store.target import parse_target

STREAM = StreamKeys(namespace="helpdesk", stream="support")
KEYS = STREAM.connection("inbox")
IDENTITY = "sha256:mailbox"
SEEN = WantedAction(kind="MarkSeen")


class FakeClock(Clock):
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 31, 8, 15, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def boottime(self) -> float:
        return self.seconds


class Store:
    """Makes mailboxes on one server, and looks at what they did through a client of its own."""

    def __init__(self, url: str, client: Any, leases: LeaseKeeper, clock: Clock) -> None:
        self.url = url
        self.client = client
        self.leases = leases
        self.clock = clock
        self._made: list[Mailbox] = []

    def mailbox(
        self,
        *,
        url: str = "",
        pod: str = "pod-1",
        keys: ConnectionKeys = KEYS,
        cluster: str = "cluster-1",
        policy: QueuePolicy | None = None,
        wait: Callable[[float], object] | None = None,
        on_lost: Callable[[], None] | None = None,
        clock: Clock | None = None,
        ca_file: Path | None = None,
    ) -> Mailbox:
        """A mailbox that is not open yet."""
        options: dict[str, Any] = {"wait": wait} if wait else {}
        made = Mailbox(
            target=parse_target(url or self.url, ca_file=ca_file),
            keys=keys,
            owner=Owner(pod_uid=pod),
            cluster_id=cluster,
            policy=policy or QueuePolicy(),
            leases=self.leases,
            clock=clock or self.clock,
            on_lost=on_lost,
            **options,
        )
        self._made.append(made)
        return made

    def opened(self, **options: Any) -> Mailbox:
        """An open mailbox of a connection that was never seen."""
        made = self.mailbox(**options)
        open_new(made)
        return made

    def close(self) -> None:
        """Closes what was made."""
        for made in self._made:
            made.close(release=False)

    # -- looking ---------------------------------------------------------------------------

    def entries(self) -> list[dict[str, str]]:
        """The queue; bodies as latin-1 text."""
        return self._stream(STREAM.queue)

    def log(self) -> list[dict[str, str]]:
        """The log."""
        return self._stream(STREAM.log)

    def ids(self) -> list[str]:
        """Entry ids of Redis."""
        return [key.decode() for key, _ in self.client.xrange(STREAM.queue)]

    def state(self, keys: ConnectionKeys = KEYS) -> dict[str, str]:
        """The state's hash."""
        fields = self.client.hgetall(keys.state)
        return {name.decode(): value.decode() for name, value in fields.items()}

    def outbox(self) -> list[str]:
        """Members of the outbox in their order."""
        return [member.decode() for member in self.client.zrange(KEYS.outbox, 0, -1)]

    def known(self) -> int:
        """Mails in the ledger."""
        return sum(self.client.scard(key) for key in self.client.scan_iter(KEYS.prefix + ":known:*"))

    def snapshot(self) -> dict[str, object]:
        """Everything in Redis, for comparing before and after.

        Left out is what each renewal of a lease writes, and what a stream counts.
        """
        found: dict[str, object] = {}
        for key in self.client.scan_iter("*", count=1000):
            name = key.decode()
            kind = self.client.type(key)
            found[name] = (kind, self._content(key, kind), self.client.pttl(key) > 0)
        found.pop(KEYS.lease, None)
        return found

    def _content(self, key: bytes, kind: bytes) -> Any:
        """What a key holds, whatever the order in which it was put there."""
        if kind == b"stream":
            return self.client.xrange(key)
        if kind == b"hash":
            return {name: value for name, value in self.client.hgetall(key).items() if name != b"clock"}
        if kind == b"set":
            return self.client.smembers(key)
        return self.client.zrange(key, 0, -1, withscores=True) if kind == b"zset" else self.client.dump(key)

    def _stream(self, key: str) -> list[dict[str, str]]:
        entries = self.client.xrange(key)
        return [{name.decode(): value.decode("latin-1") for name, value in fields.items()} for _, fields in entries]


def open_new(mailbox: Mailbox) -> State:
    """Opens a mailbox that may have been seen or not."""
    return mailbox.open(identity=IDENTITY, gate_epoch=1, create=True, state_id="", known_seq=0)


def mail(
    uid: int,
    *,
    body: bytes | Blob = b"the body",
    identity: bytes | None = None,
    action: WantedAction | None = SEEN,
    **fields: Any,
) -> Mail:
    """The mail with this UID."""
    return Mail(
        ref=f"1700000000/{uid}",
        uid_validity="1700000000",
        uid=uid,
        folder="INBOX",
        identity=f"<{uid}@example.com>".encode() if identity is None else identity,
        body=body,
        size=body.size if isinstance(body, Blob) else len(body),
        sha256="00" * 32,
        action=action,
        **fields,
    )


def named(uid: int, *, ref: str = "", **fields: Any) -> Mail:
    """The mail with this number on a server where mails have names."""
    made = mail(0, identity=f"<{uid}@example.com>".encode(), **fields)
    return replace(made, ref=ref or f"uidl-{uid}/1", uid_validity="", name=name(uid))


def name(uid: int) -> bytes:
    """The name of `named`."""
    return f"uidl 1 uidl-{uid}".encode()


def quarantined(uid: int, *, with_name: bool = False, **fields: Any) -> Quarantined:
    """A record of the mail with this UID."""
    values: dict[str, Any] = {
        "size": 10,
        "kind": "Unreadable",
        "detail": "NO",
        "since": 100,
        "attempts": 1,
        "retry": 200,
    }
    ref = f"uidl-{uid}/1" if with_name else f"1700000000/{uid}"
    values |= {"ref": ref, "uid": 0 if with_name else uid, "name": name(uid) if with_name else b""}
    return Quarantined(**(values | fields))


def batch(*mails: Mail, cursor: str = "", log: tuple[LogLine, ...] = (), **parts: Any) -> Batch:
    """A batch; its cursor is the last UID unless told."""
    return Batch(mails=mails, cursor=cursor or f"1700000000/{mails[-1].uid}", log=log, **parts)


@contextmanager
def store_on(url: str, client: Any, *, clock: Clock | None = None, ttl: float = 30.0) -> Iterator[Store]:
    """A `Store` with a lease keeper of its own."""
    clock = clock or Clock()
    leases = LeaseKeeper(clock=clock, ttl=ttl)
    store = Store(url, client, leases, clock)
    try:
        yield store
    finally:
        store.close()
        leases.stop()
        client.close()
