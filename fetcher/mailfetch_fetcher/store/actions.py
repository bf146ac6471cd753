"""The acting half of a mailbox: link B, on which the outbox is read, then made durable, then acted upon.

All three on one link, in this order: what was read before the barrier's own write is what the barrier covers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any, Protocol

import redis

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.sources.base import ActionPhase, Outcome, PendingAction
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.acks import decode_seen
from mailfetch_fetcher.store.barrier import run_barrier
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.groups import OutboxWalk, look_at_group
from mailfetch_fetcher.store.lease import Lease
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import Batch, State
from mailfetch_fetcher.store.outbox import ledger_member, parse_entry, parse_member, ref_of, with_phase
from mailfetch_fetcher.store.peers import peers_of
from mailfetch_fetcher.store.safety import Safety, judge, take_sample
from mailfetch_fetcher.store.sentinel import Named
from mailfetch_fetcher.store.sweep import Sweeper
from mailfetch_fetcher.store.trim import read_time

SETTLED_AT_ONCE = 100
LOOK_SECONDS = 2.0
"""Between two looks at a consumer group."""


class WriterView(Protocol):
    """What acting needs of the writing half."""

    link: Link
    state: State
    committed: set[str]

    @property
    def tip(self) -> str:
        """Token of the state after the last commit."""
        ...

    def commit(self, batch: Batch) -> None:
        """See `Writer.commit`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Due:
    """What may be carried out now.

    Attributes:
        actions: Durable, old enough, and (where that is asked for) provably acknowledged; oldest first.
        unproven: So many were dropped just now, as nobody can say whether they were acknowledged.
        waiting: So many rightly wait: for their delay, or for an acknowledgement.
    """

    actions: list[PendingAction]
    unproven: int = 0
    waiting: int = 0


class Actions:
    """Reads and clears the outbox. Used by the session's own thread only."""

    def __init__(
        self,
        *,
        link: Link,
        keys: ConnectionKeys,
        owner: str,
        lease: Lease,
        writer: WriterView,
        clock: Clock,
        wait: Callable[[float], object],
    ) -> None:
        self._link = link
        self._keys = keys
        self._owner = owner
        self._lease = lease
        self._writer = writer
        self._clock = clock
        self._wait = wait
        self._in_hand: set[str] = set()
        self._walk = OutboxWalk(read=self._read, look=partial(look_at_group, link, keys.stream))
        self._next_look = float("-inf")
        self._peers = peers_of(link.target)
        self._sweeper = Sweeper(keys.stream)
        self._safety = judge(take_sample(link))
        lease.guard(link)

    @property
    def safety(self) -> Safety:
        """The verdict of the last barrier, or of opening."""
        return self._safety

    @property
    def link(self) -> Link:
        """The link."""
        return self._link

    # -- what may be done ------------------------------------------------------------------

    def due(self, limit: int, *, delay: float, group: str) -> Due:
        """The oldest actions that may be carried out; none if it is not known whether their mails are on disk.

        Args:
            limit: Most actions.
            delay: Seconds since the mail entered the queue, by the clock of Redis.
            group: Consumer group that must have acknowledged the mail; empty: none.

        Raises:
            StoreError: Redis refuses, or the link failed.
        """
        self._check_server()
        self._in_hand = set()
        until = read_time(self.call("TIME")) - delay * 1000 if delay else float("inf")
        due = self._acknowledged(limit, until=until, group=group) if group else self._stored(limit, until=until)
        if not due.actions or not self.barrier():
            return replace(due, actions=[])
        self._in_hand = {action.member for action in due.actions}
        return due

    def durable(self) -> bool:
        """Everything that the writer committed is on disk."""
        self._check_server()
        tip = self.call("HGET", self._keys.state, "tip")
        return bool(tip and tip.decode() == self._writer.tip) and self.barrier()

    def barrier(self) -> bool:
        """Everything that was read on this link before is on disk; the lease is confirmed on the way."""
        asked = self._clock.boottime()
        write = self._lease.renewal(run_id=self._link.run_id, barrier=True)
        verdict = run_barrier(self._link, write=write, wait=self._wait, peers=self._peers)
        self._safety = verdict.safety
        self._take_note(1 if verdict.owned else 0, asked, verdict.named)
        return verdict.durable

    def confirm_lease(self) -> None:
        """The mailbox is still ours, and so is what was handed out; right before a command that changes the mailbox.

        Raises:
            Fenced: it is not.
        """
        asked, members = self._clock.boottime(), sorted(self._in_hand)
        look = [("ZMSCORE", self._keys.outbox, *members)] if members else []
        renewed, *scores = self._link.pipeline(self._lease.renewal(run_id=self._link.run_id), *look)
        named = self._peers.named()
        self._take_note(renewed, asked, named)
        if named == "unknown":
            raise StoreError("StoreUnavailable", self._peers.why())
        for reply in scores:
            if isinstance(reply, redis.ResponseError):
                raise refused(error_text(reply), doing="after-download actions")
            if None in reply:
                raise Fenced("an after-download action that was about to be carried out is not in the outbox any more")
        if not self._lease.fresh():  # the process may have stood still in between
            raise StoreError(
                "StoreUnavailable", "confirming the lease took too long; nothing is done on the strength of it"
            )

    # -- what became of it -----------------------------------------------------------------

    def advance(self, actions: Sequence[PendingAction], phase: ActionPhase) -> list[PendingAction]:
        """Replaces the phase of all; `copying` is also made durable, before the copies that it announces.

        A lost `copied` does no harm: `copying` makes whoever goes on look for the copy first.
        """
        self._lease.progress()  # a hundred of these in one command may take long where the disk is watched
        changed = [replace(a, phase=phase, member=with_phase(a.member, phase)) for a in actions]
        pairs = [member for old, new in zip(actions, changed, strict=True) for member in (old.member, new.member)]
        keys = [self._keys.state, self._keys.outbox]
        reply = self.call(*scripts.evaluate(scripts.ADVANCE, keys=keys, args=[self._owner, *pairs]))
        if reply != b"OK":
            raise Fenced(f"an after-download action is not in the outbox any more ({reply.decode()})")
        self._in_hand.difference_update(pairs[::2])
        self._in_hand.update(pairs[1::2])
        if phase == "copying" and not self.barrier():
            raise StoreError(
                "StoreUnavailable",
                f"an after-download action waits: its next step is not yet durable in Redis{self._because()}",
            )
        return changed

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Removes what is done or dropped from the outbox, with a log line each; what failed stays."""
        results = {"done": "Succeeded", "dropped": "Dropped"}
        self._settle([(o.action, results[o.result], o.detail, _taken_away(o)) for o in outcomes if o.result in results])

    def all(self) -> list[PendingAction]:
        """The whole outbox, oldest first; only for translating it, nothing of it may be carried out."""
        return self._read(0, -1)

    def size(self) -> int:
        """Actions in the outbox."""
        return int(self.call("ZCARD", self._keys.outbox))

    def sweep(self) -> None:
        """Removes some orphaned bodies of large mails."""
        try:
            self._sweeper.sweep(self._link)
        except redis.ResponseError as e:
            raise refused(error_text(e), doing="removing orphaned bodies of large mails") from None

    # -- inside ----------------------------------------------------------------------------

    def call(self, *command: Any) -> Any:
        """One command on this link, with its errors as `StoreError`."""
        try:
            return self._link.call(*command)
        except redis.ResponseError as e:
            raise refused(error_text(e), doing="after-download actions") from None

    def close(self) -> None:
        """Closes the links."""
        self._link.close()
        self._peers.close()

    def _stored(self, limit: int, *, until: float) -> Due:
        """The oldest; entries are in the order of their ids, so behind the first that is too young all are."""
        oldest = self._read(0, limit - 1)
        ready = list(takewhile(lambda action: parse_entry(action.entry)[0] <= until, oldest))
        return Due(actions=ready, waiting=self.size() - len(ready) if len(ready) < len(oldest) else 0)

    def _acknowledged(self, limit: int, *, until: float, group: str) -> Due:
        """Those that the group provably acknowledged; at most one look in `LOOK_SECONDS` unless there is more."""
        size, now = self.size(), self._clock.monotonic()
        if not size or now < self._next_look:
            return Due(actions=[], waiting=size)
        before = decode_seen(self._writer.state.group_seen)
        found = self._walk.walk(before, group=group, limit=limit, until=until)
        if found.seen != before:
            self._writer.commit(Batch(cursor=None, group_seen=found.seen.encode()))
        text = f"nobody can say whether consumer group {group} acknowledged the mail; it stays as it is in the mailbox"
        self._settle([(action, "Unproven", text, "") for action in found.unproven])
        if len(found.ready) < limit:
            self._next_look = now + LOOK_SECONDS
        waiting = size - len(found.ready) - len(found.unproven)
        return Due(actions=found.ready, unproven=len(found.unproven), waiting=waiting)

    def _read(self, start: int, stop: int) -> list[PendingAction]:
        members = (member.decode() for member in self.call("ZRANGE", self._keys.outbox, start, stop))
        return [parse_member(member, same_session=ref_of(member) in self._writer.committed) for member in members]

    def _settle(self, settled: Sequence[tuple[PendingAction, str, str, str]]) -> None:
        """Action, result, detail, and the number that may leave the ledger with the next list (or empty) of each."""
        keys = [self._keys.state, self._keys.outbox, self._keys.stream.log, self._keys.gone]
        for i in range(0, len(settled), SETTLED_AT_ONCE):
            some = settled[i : i + SETTLED_AT_ONCE]
            args: list[Any] = [self._owner, self._keys.name, self._owner.partition(" ")[2]]
            for action, result, detail, number in some:
                args += (action.member, result, action.kind, action.entry, detail, number)
            if self.call(*scripts.evaluate(scripts.SETTLE, keys=keys, args=args)) != b"OK":
                raise Fenced("another fetcher has taken over the mailbox")
            members = {action.member for action, *_ in some}
            self._in_hand -= members
            self._writer.committed.difference_update(map(ref_of, members))

    def _check_server(self) -> None:
        if self._link.run_id != self._writer.link.run_id:
            raise StoreError("StoreUnavailable", "another Redis answers at this address now; looking anew")

    def _take_note(self, reply: Any, asked: float, named: Named) -> None:
        if not self._lease.answered(reply, asked=asked, named=named):
            raise Fenced(self._lease.lost or "Redis refused to renew the lease of the mailbox")

    def _because(self) -> str:
        return f" ({self._safety.message})" if self._safety.message else ""


def _taken_away(outcome: Outcome) -> str:
    """The mail's number in the ledger if we deleted or moved it, and the server said so (`store.md` 39 a)."""
    ours = outcome.result == "done" and outcome.action.kind in ("Delete", "Move") and not outcome.was_gone
    return ledger_member(outcome.action.member) if ours else ""
