"""Two fetchers, one Redis, two mailboxes: what a session does with the store, one step at a time, faults included.

Each step says beforehand what Redis may hold afterwards: with success the new state, with a refusal the old one, and
where the answer was lost one of the two, whole. Then the observer looks.
"""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.store.lease import LeaseKeeper
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Owner, QueuePolicy, State
from mailfetch_fetcher.store.target import parse_target
from tests.integration.store.machine_provider import Item, Provider
from tests.integration.store.machine_view import (
    EMPTY,
    STREAM,
    Observer,
    View,
    number,
)
from tests.servers.proxy import FaultProxy
from tests.servers.redis import RedisServer

GROUP = "workers"
PODS = ("pod-a", "pod-b")
CONNECTIONS = ("inbox", "pop")
NAMED = frozenset({"pop"})
FAULTS = ("", "lost reply", "cut request", "killed after", "killed before")
TTL = 3600.0
"""No lease runs out or is renewed by itself: steps decide."""


class Killed(BaseException):
    """The process dies here."""


class Refused(Exception):
    """A step ended early; its session is over."""


class MovingClock(Clock):
    """Each look at it is three seconds later, so that nothing waits for its next turn; leases do not age."""

    def __init__(self) -> None:
        self._seconds = 1000.0

    def monotonic(self) -> float:
        self._seconds += 3.0
        return self._seconds

    def boottime(self) -> float:
        return 1000.0


@dataclass(kw_only=True, eq=False)
class Session:
    """One life of one session; `walk` is under way after the mails were numbered anew."""

    pod: str
    connection: str
    owner: Owner
    mailbox: Mailbox
    walk: Iterator[None] | None = None


@dataclass(kw_only=True)
class Pod:
    """A fetcher process."""

    name: str
    proxy: FaultProxy
    leases: LeaseKeeper


class World:
    """Everything of one run.

    Attributes:
        model: What Redis holds, as of the last step.
        owner: Who owns a connection's state.
        opening: Who may become the owner.
        handed: Entries that a consumer of the group really got.
        serials: The mail behind each ref that was ever committed.
        day: The time for pruning.
        killing: The product dies where it sleeps before it sends again.
        stealing: Somebody takes over right before the next commit.
        counts: What happened, to be sure that it happens.
    """

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.client: Any = server.client()
        self.client.flushall()
        self.observer = Observer(self.client)
        self.clock = MovingClock()
        self.providers = {name: Provider(named=name in NAMED) for name in CONNECTIONS}
        self.keys = {name: STREAM.connection(name) for name in CONNECTIONS}
        self.model: dict[str, View] = dict.fromkeys(CONNECTIONS, EMPTY)
        self.owner: dict[str, str] = dict.fromkeys(CONNECTIONS, "")
        self.opening = ""
        self.sessions: dict[tuple[str, str], Session] = {}
        self.handed: set[str] = set()
        self.killing = False
        self.stealing = False
        self.serials: dict[str, int] = {}
        self.day = 0
        self.counts: Counter[str] = Counter()
        self.pods = {name: self._pod(name) for name in PODS}

    def _pod(self, name: str) -> Pod:
        return Pod(name=name, proxy=FaultProxy(self.server.port), leases=LeaseKeeper(clock=self.clock, ttl=TTL))

    def close(self) -> None:
        """Leaves no thread and no connection behind."""
        for session in list(self.sessions.values()):
            session.mailbox.close(release=False)
        for pod in self.pods.values():
            pod.leases.stop()
            pod.proxy.close()
        self.client.close()

    # -- sessions --------------------------------------------------------------------------

    def session(self, pod: str, connection: str) -> Session:
        """The one that lives, or a new one.

        Raises:
            Refused: another pod holds the lease, or the opening failed.
        """
        return self.sessions.get((pod, connection)) or self._open(pod, connection)

    def _open(self, pod: str, connection: str) -> Session:
        owner = Owner(pod_uid=pod)
        made = Session(pod=pod, connection=connection, owner=owner, mailbox=self._mailbox(owner, connection))
        lease = self.client.get(self.keys[connection].lease)
        before = self.model[connection]
        begun = before if before != EMPTY else dataclasses.replace(EMPTY, phase="Steady")
        self.sessions[pod, connection] = made
        self.opening = str(owner)
        try:
            with self.step(made, before, begun):
                state = self._opened(made)
                self.owner[connection] = str(owner)
                assert not lease or lease.split(b" ")[0].decode() == pod, f"{pod} took the lease of {lease!r}"
                assert (state.cursor, state.phase, state.went_back) == (begun.cursor, begun.phase, 0)
        finally:
            if self.observer.owners.get(connection) == str(owner):
                self.owner[connection] = str(owner)
        return made

    def _opened(self, session: Session) -> State:
        state_id = self.observer.state_ids.get(session.connection, "")
        return session.mailbox.open(
            identity=f"sha256:{session.connection}",
            gate_epoch=1,
            create=not state_id,
            state_id=state_id,
            known_seq=self.observer.seqs.get(session.connection, 0),
        )

    def _mailbox(self, owner: Owner, connection: str) -> Mailbox:
        pod = self.pods[owner.pod_uid]
        return Mailbox(
            target=parse_target(f"redis://127.0.0.1:{pod.proxy.port}", ca_file=None),
            keys=self.keys[connection],
            owner=owner,
            cluster_id="cluster-1",
            policy=QueuePolicy(consumer_groups=(GROUP,) if connection == "inbox" else (), queue_seconds=0),
            leases=pod.leases,
            clock=self.clock,
            wait=self._wait,
        )

    def _wait(self, _: float) -> None:
        """The product sleeps before it sends again: where a process can be killed."""
        if self.killing:
            raise Killed

    def end(self, session: Session, *, release: bool = False) -> None:
        """The session is over."""
        session.mailbox.close(release=release)
        self.sessions.pop((session.pod, session.connection), None)

    def take_over(self, connection: str) -> None:
        """The lease runs out and the other pod takes it; the one before lives on and does not know."""
        self.client.delete(self.keys[connection].lease)
        owner = self.owner[connection].partition(" ")[0]
        other = PODS[1] if owner == PODS[0] else PODS[0]
        if old := self.sessions.get((other, connection)):
            self.end(old)
        with contextlib.suppress(Refused):
            self._open(other, connection)

    def kill(self, pod: str) -> None:
        """kill -9: nothing more of it reaches Redis."""
        proxy = self.pods[pod].proxy
        proxy.refuse = True
        proxy.cut()
        for session in [s for s in self.sessions.values() if s.pod == pod]:
            self.end(session)
        self.pods[pod].leases.stop()
        proxy.refuse = False
        self.pods[pod].leases = LeaseKeeper(clock=self.clock, ttl=TTL)

    # -- steps -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def fault(self, pod: str, fault: str, at: int) -> Iterator[None]:
        """One that strikes the next command of the pod which changes something."""
        proxy = self.pods[pod].proxy
        if fault in ("lost reply", "killed after"):
            proxy.lose_reply_to(b"EVAL")
        elif fault:
            proxy.cut_after(at, "to_server")
        self.killing = fault.startswith("killed")
        try:
            yield
        finally:
            self.killing = False
            proxy.lose_reply_to(b"")
            proxy.cut_after(1 << 60, "to_server")

    @contextlib.contextmanager
    def step(
        self,
        session: Session,
        old: View,
        new: View,
        *,
        writes: bool = True,
        also: Callable[[View], bool] = lambda _: False,
    ) -> Iterator[None]:
        """Runs something of the store, then compares.

        Args:
            session: Whose.
            old: What Redis may hold if it does not succeed.
            new: What Redis must hold if it succeeds.
            writes: Only the owner may succeed.
            also: Other views that may be found, whatever the outcome.

        Raises:
            Refused: it did not succeed, and the session is over.
        """
        allowed: Sequence[View] = (new,)
        try:
            yield
        except Killed:
            self.counts["killed"] += 1
            allowed = (old, new)
            self.kill(session.pod)
        except Fenced:
            self.counts["fenced"] += 1
            allowed = (old,)
            self.end(session)
        except StoreError as e:
            assert e.reason == "StoreUnavailable", e  # noqa: PT017 - any other failure is one of the product
            allowed = (old,) if e.retry_after else (old, new)  # another pod holds the lease
            self.counts["held" if e.retry_after else "broken"] += 1
            self.end(session)
        else:
            owns = self.owner[session.connection] == str(session.owner)
            assert owns or not writes, f"{session.pod} wrote, but is not the owner"
        self.check(session.connection, allowed, also)
        if (session.pod, session.connection) not in self.sessions:
            raise Refused

    def check(self, connection: str, allowed: Sequence[View], also: Callable[[View], bool] = lambda _: False) -> None:
        """Redis holds one of these, whole."""
        self.observer.look()
        found = self.observer.view(self.keys[connection])
        owner = self.observer.owners.get(connection, "")
        assert owner in ("", self.owner[connection], self.opening), f"{owner} became the owner of {connection}"
        assert found in allowed or also(found), f"{connection}: " + " OR ".join(found.differs(view) for view in allowed)
        self.model[connection] = found

    # -- the ledger ------------------------------------------------------------------------

    def knows(self, item: Item) -> bool:
        """The ledger of `pop` has its name."""
        return number(item.name, 1, key=self.hash_key("pop")) in self.model["pop"].ledger

    def hash_key(self, connection: str) -> bytes:
        """Of the ledger's numbers."""
        return bytes.fromhex(self.client.hget(self.keys[connection].state, "hashKey").decode())
