"""Leases: who may write, renewed by one thread of the process for all its mailboxes.

A lease is renewed only while its session makes progress, so that a session that hangs does not hold its mailbox
silently. Losing it is final for that life of the session. The lease decides who may take over; that nobody else
writes is decided by `owner` and `tip` inside each script.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

import redis

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.failures import error_text
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import Owner
from mailfetch_fetcher.store.peers import Peers, peers_of
from mailfetch_fetcher.store.sentinel import Named
from mailfetch_fetcher.store.target import Target

log = logging.getLogger(__name__)

TTL = 30.0
"""Seconds that a lease lives without being renewed."""
PATIENCE = 120.0
"""Seconds without progress after which a session counts as hung, unless it announces a longer wait."""

OURS, BEHIND = 1, 2
"""Replies to a renewal: the lease is ours; so it is, and the server's clock was set back."""


class Lease:
    """One mailbox's lease, as seen by its owner. Times are of the clock that also runs while a machine sleeps.

    Attributes:
        lost: Why it is no longer ours; empty while it is.
    """

    def __init__(
        self,
        *,
        target: Target,
        keys: ConnectionKeys,
        owner: Owner,
        clock: Clock,
        ttl: float,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self.target = target
        self.lost = ""
        self._keys = keys
        self._owner = str(owner)
        self._clock = clock
        self._ttl = ttl
        self._on_lost = on_lost
        self._confirmed = float("-inf")
        self._deadline = 0.0
        self._guarded: list[Link] = []
        self.progress()

    def guard(self, link: Link) -> None:
        """Closes this link too when the lease is lost."""
        self._guarded = [*(known for known in self._guarded if not known.dead), link]
        if self.lost:
            link.close()

    def progress(self, within: float = PATIENCE) -> None:
        """The session lives, and will say so again within that many seconds."""
        self._deadline = self._clock.boottime() + within

    def renewal(self, *, run_id: str, barrier: bool = False) -> list[Any]:
        """The command that renews it; it answers `OURS`, or `BEHIND`, while it is ours.

        Args:
            run_id: Of the server that it is sent to.
            barrier: It is also a write to wait for.
        """
        keys = [self._keys.state, self._keys.lease, self._keys.stats] + ([self._keys.barrier] if barrier else [])
        return scripts.evaluate(scripts.RENEW, keys=keys, args=[self._owner, round(self._ttl * 1000), run_id])

    def answered(self, reply: Any, *, asked: float, named: Named = "yes") -> bool:
        """Takes note of the reply to a renewal.

        Args:
            reply: The reply.
            asked: `boottime` before the renewal was sent.
            named: Whether the server is still the master (`Peers.named`); if it is not known, nothing is confirmed.

        Returns:
            Whether the lease is ours.
        """
        if isinstance(reply, redis.ResponseError):
            log.warning("Redis refused to renew a lease: %s", error_text(reply))
            return False  # whose it is now is not known
        if reply not in (OURS, BEHIND):
            self.lose("another fetcher has taken over the mailbox")
            return False
        if named == "no":
            self.lose(f"Redis at {self.target} is not the master any more: the Sentinels name another; looking anew")
            return False
        if named == "yes":
            self._confirmed = asked
        return True

    def fresh(self) -> bool:
        """It was confirmed so recently that nobody else can have taken it: less than a third of its life ago."""
        return not self.lost and self._clock.boottime() - self._confirmed < self._ttl / 3

    def hung(self) -> bool:
        """The session made no progress in the time that it announced."""
        return self._clock.boottime() > self._deadline

    def lose(self, why: str) -> None:
        """It is not ours any more, for good."""
        if self.lost:
            return
        self.lost = why
        log.warning("%s", why, extra={"namespace": self._keys.stream.namespace, "connection": self._keys.name})
        for link in self._guarded:
            link.close()
        if self._on_lost:
            with contextlib.suppress(Exception):
                self._on_lost()


class LeaseKeeper:
    """Renews the leases of all sessions of the process, each third of their life, over one link per Redis."""

    def __init__(self, *, clock: Clock, ttl: float = TTL) -> None:
        self.ttl = ttl
        self._clock = clock
        self._leases: set[Lease] = set()
        self._links: dict[Target, tuple[Link, Peers]] = {}
        self._lock = threading.RLock()  # `lose` may lead back here
        self._stopped = threading.Event()
        self._last_round = clock.monotonic()
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease) -> None:
        """Keeps a lease from now on."""
        with self._lock:
            self._leases.add(lease)
            if self._thread is None:
                self._last_round = self._clock.monotonic()
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()

    def remove(self, lease: Lease) -> None:
        """Keeps it no longer; when this returns no renewal of it is under way."""
        with self._lock:
            self._leases.discard(lease)

    def trouble(self) -> str:
        """Why the process should be restarted, or nothing: for the liveness probe."""
        thread = self._thread
        if thread is None or self._stopped.is_set():
            return ""
        if not thread.is_alive():
            return "the thread that renews leases has ended"
        stood = self._clock.monotonic() - self._last_round
        return f"leases were not renewed for {stood:.0f} s" if stood > 10 * self.ttl else ""

    def stop(self) -> None:
        """Ends the thread; leases run out or are released by their sessions."""
        self._stopped.set()
        if self._thread:
            self._thread.join()
        for target in list(self._links):
            self._drop(target)

    def _run(self) -> None:
        while not self._stopped.wait(self.ttl / 3):
            try:
                self.renew_all()
            except Exception:
                log.exception("renewing leases failed")
            self._last_round = self._clock.monotonic()

    def renew_all(self) -> None:
        """One round."""
        with self._lock:
            by_target: dict[Target, list[Lease]] = {}
            for lease in self._leases:
                if lease.hung():
                    lease.lose("the session hangs: it made no progress in the time that it had announced")
                if not lease.lost:
                    by_target.setdefault(lease.target, []).append(lease)
            for target in set(self._links) - set(by_target):
                self._drop(target)
            for target, leases in by_target.items():
                with contextlib.suppress(StoreError):  # the next round tries again; meanwhile no action is allowed
                    self._renew(*self._link(target), leases)

    def _link(self, target: Target) -> tuple[Link, Peers]:
        if target in self._links and self._links[target][0].dead:
            self._drop(target)
        if target not in self._links:
            self._links[target] = (Link(target, timeout=self.ttl / 3), peers_of(target))
        return self._links[target]

    def _drop(self, target: Target) -> None:
        for opened in self._links.pop(target):
            opened.close()

    def _renew(self, link: Link, peers: Peers, leases: Sequence[Lease]) -> None:
        asked = self._clock.boottime()
        replies = link.pipeline(*(lease.renewal(run_id=link.run_id) for lease in leases))
        named = peers.named()
        for lease, reply in zip(leases, replies, strict=True):
            lease.answered(reply, asked=asked, named=named)
