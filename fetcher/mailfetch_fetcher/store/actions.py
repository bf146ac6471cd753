"""The acting half of a mailbox: link B, on which the outbox is read, then made durable, then acted upon.

All three on one link, in this order: what was read before the barrier's own write is what the barrier covers.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import redis

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.sources.base import ActionPhase, Outcome, PendingAction
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.barrier import run_barrier
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.lease import Lease
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.outbox import parse_member, ref_of, with_phase
from mailfetch_fetcher.store.safety import Safety, judge, take_sample

SETTLED_AT_ONCE = 100


class Actions:
    """Reads and clears the outbox. Used by the session's own thread only."""

    def __init__(
        self,
        *,
        link: Link,
        keys: ConnectionKeys,
        owner: str,
        lease: Lease,
        committed: set[str],
        writer_run_id: Callable[[], str],
        clock: Clock,
        wait: Callable[[float], object],
    ) -> None:
        self._link = link
        self._keys = keys
        self._owner = owner
        self._lease = lease
        self._committed = committed
        self._writer_run_id = writer_run_id
        self._clock = clock
        self._wait = wait
        self._safety = judge(take_sample(link))

    @property
    def safety(self) -> Safety:
        """The verdict of the last barrier, or of opening."""
        return self._safety

    def durable(self, limit: int) -> list[PendingAction]:
        """The oldest actions whose mails are on disk; empty if there are none or it is not known."""
        if self._link.run_id != self._writer_run_id():
            raise StoreError("StoreUnavailable", "another Redis answers at this address now; looking anew")
        members = self.call("ZRANGE", self._keys.outbox, 0, limit - 1)
        if not members or not self.barrier():
            return []
        return [self._parse(member.decode()) for member in members]

    def barrier(self) -> bool:
        """Everything that was read on this link before is on disk; the lease is confirmed on the way."""
        asked = self._clock.boottime()
        verdict = run_barrier(self._link, write=self._lease.renewal(barrier=True), wait=self._wait)
        self._safety = verdict.safety
        self._take_note(1 if verdict.owned else 0, asked)
        return verdict.durable

    def confirm_lease(self) -> None:
        """Renews the lease and remembers when."""
        asked = self._clock.boottime()
        self._take_note(self.call(*self._lease.renewal()), asked)

    def advance(self, action: PendingAction, phase: ActionPhase) -> PendingAction:
        """Replaces the phase; `copying` is also made durable, before the copy that it announces.

        A lost `copied` does no harm: `copying` makes whoever goes on look for the copy first.
        """
        self._lease.progress()  # a hundred of these in one command may take minutes where there is no WAITAOF
        member = with_phase(action.member, phase)
        keys = [self._keys.state, self._keys.outbox]
        reply = self.call(*scripts.evaluate(scripts.ADVANCE, keys=keys, args=[self._owner, action.member, member]))
        if reply != b"OK":
            raise Fenced(f"the after-download action '{action.member}' is not in the outbox any more")
        if phase == "copying" and not self.barrier():
            raise StoreError(
                "StoreUnavailable",
                f"an after-download action waits: its next step is not yet durable in Redis{self._because()}",
            )
        return replace(action, phase=phase, member=member)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Removes what is done or dropped from the outbox, with a log line each; what failed stays."""
        settled = [outcome for outcome in outcomes if outcome.result != "failed"]
        for i in range(0, len(settled), SETTLED_AT_ONCE):
            self._settle(settled[i : i + SETTLED_AT_ONCE])

    def size(self) -> int:
        """Actions in the outbox."""
        return int(self.call("ZCARD", self._keys.outbox))

    def call(self, *command: Any) -> Any:
        """One command on this link, with its errors as `StoreError`."""
        try:
            return self._link.call(*command)
        except redis.ResponseError as e:
            raise refused(error_text(e), doing="after-download actions") from None

    def close(self) -> None:
        """Closes the link."""
        self._link.close()

    @property
    def link(self) -> Link:
        """The link."""
        return self._link

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        args: list[Any] = [self._owner, self._keys.name, self._owner.partition(" ")[2]]
        for outcome in outcomes:
            action = outcome.action
            result = "Succeeded" if outcome.result == "done" else "Dropped"
            args += (action.member, result, action.kind, action.entry, outcome.detail)
        keys = [self._keys.state, self._keys.outbox, self._keys.stream.log]
        if self.call(*scripts.evaluate(scripts.SETTLE, keys=keys, args=args)) != b"OK":
            raise Fenced("another fetcher has taken over the mailbox")
        self._committed.difference_update(ref_of(outcome.action.member) for outcome in outcomes)

    def _parse(self, member: str) -> PendingAction:
        return parse_member(member, same_session=ref_of(member) in self._committed)

    def _take_note(self, reply: Any, asked: float) -> None:
        if not self._lease.answered(reply, asked=asked):
            raise Fenced(self._lease.lost)

    def _because(self) -> str:
        return f" ({self._safety.message})" if self._safety.message else ""
