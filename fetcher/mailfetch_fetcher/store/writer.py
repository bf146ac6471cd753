"""The writing half of a mailbox: link A, on which everything that is committed travels, in order.

A commit whose reply was lost is sent again on a new link, which is always safe (the script knows its token). Any other
failure ends this life of the mailbox: nothing more is sent, and the session reads everything anew.
"""

import dataclasses
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import redis

from mailfetch_fetcher.clock import Clock, rfc3339
from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import Fenced, GateClosed, Pace, StoreError
from mailfetch_fetcher.store.blob import BlobWriter, discard_blobs
from mailfetch_fetcher.store.commit import CommitPlan, anchor, build_commit, check_batch, number_mails
from mailfetch_fetcher.store.failures import error_text, refused
from mailfetch_fetcher.store.lease import Lease
from mailfetch_fetcher.store.ledger import last_occurrence, read_returns
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import Batch, Blob, Mail, QueuePolicy, State
from mailfetch_fetcher.store.stage import Stage
from mailfetch_fetcher.store.target import Target
from mailfetch_fetcher.store.trim import Trimmed, trim_queue

PAUSES: Final = (0.0, 0.05, 0.2, 0.5, 1.0, 2.0)
"""Seconds before each time that a commit is sent."""
MAKE_ROOM: Final = 1000
"""Entries that are trimmed at once when the queue or the memory is full."""
REMEMBERED: Final = 20_000
"""Refs of this session that are kept; the mails of others are compared before they are acted upon. Actions may wait for
days (a delay, an acknowledgement), and a backlog may have a million mails.
"""


class Writer:
    """Commits in order, from any thread.

    Attributes:
        owner: The owner as the state holds it.
        state: The state after the last commit.
        committed: Refs that this life of the session committed and whose actions are not settled; not all of many.
    """

    def __init__(
        self,
        *,
        link: Link,
        target: Target,
        keys: ConnectionKeys,
        owner: str,
        state: State,
        tip: str,
        policy: QueuePolicy,
        lease: Lease,
        clock: Clock,
        wait: Callable[[float], object],
    ) -> None:
        self.state = state
        self.committed: set[str] = set()
        self.link = link
        self._target = target
        self._keys = keys
        self.owner = owner
        self._tip = tip
        self._policy = policy
        self._lease = lease
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._blobs: set[str] = set()
        self._stage: Stage | None = None
        lease.guard(link)

    @property
    def tip(self) -> str:
        """Token of the state after the last commit."""
        return self._tip

    def commit(self, batch: Batch) -> None:
        """Mails, log lines and cursor, all or nothing.

        Raises:
            Fenced: somebody else owns the mailbox.
            GateClosed: the state is gone (StateLost).
            StoreError: nothing was committed, or (StoreUnavailable) it is not known.
        """
        check_batch(batch)
        with self._lock:
            plan = CommitPlan(
                keys=self._keys,
                state=self.state,
                batch=batch,
                owner=self.owner,
                tip=self._tip,
                new_tip=secrets.token_hex(8),
                committed=rfc3339(self._clock.now()),
                max_length=self._policy.max_length,
                staged=self.stage().size if batch.staged else None,
                returns=self._returns(batch.mails),
            )
            self._commit(plan)

    def change(self, build: Callable[[str, str], list[Any]]) -> list[Any]:
        """Another change of ledger and state in one script; like a commit it replaces the tip.

        Args:
            build: Makes the command from the tip as it is and the one that the script sets. The script answers
                {OK, seq}, {DONE, seq}, {FENCED} or {NOSTATE}.
        """
        with self._lock:
            new_tip = secrets.token_hex(8)
            reply = self._send(build(self._tip, new_tip))
            kind = reply[0].decode()
            if kind not in ("OK", "DONE"):
                raise self._problem(kind, reply, ())
            self._tip = new_tip
            self.state = dataclasses.replace(self.state, seq=int(reply[1]))
            return reply

    def stage(self) -> Stage:
        """The ledger that is being made anew."""
        if self._stage is None:
            self._stage = Stage(link=lambda: self.link, keys=self._keys, owner=self.owner, hash_key=self.state.hash_key)
        return self._stage

    def start_blob(self) -> BlobWriter:
        """A place for a large body, on this link."""
        blob = BlobWriter(self.link, stream=self._keys.stream, make_room=lambda: self._make_room().removed > 0)
        self._blobs.add(blob.key)
        return blob

    def close(self) -> None:
        """Removes blobs that were not committed, and closes the link."""
        discard_blobs(self.link, sorted(self._blobs))
        self.link.close()

    def _make_room(self) -> Trimmed:
        """Acknowledged entries go first, whatever their age."""
        return trim_queue(self.link, keys=self._keys, owner=self.owner, policy=self._policy, forced=MAKE_ROOM)

    def _commit(self, plan: CommitPlan) -> None:
        mails = plan.batch.mails
        known: dict[bytes, int] = {}
        room_made = False
        while True:
            numbers = number_mails(plan, known=known)
            reply = self._send(build_commit(plan, numbers))
            kind = reply[0].decode()
            if kind in ("OK", "DONE"):
                self._advance(plan, seq=int(reply[1]))
                return
            if kind == "TAKEN":
                for i in reply[1:]:
                    self._learn(known, mails[i - 1].identity, numbers[i - 1])
                continue
            full = kind == "FULL" or (kind == "FAILED" and reply[1].startswith(b"OOM"))
            if not full or room_made:
                raise self._problem(kind, reply, mails)
            room_made = True
            trimmed = self._make_room()
            if not trimmed.removed:
                raise self._problem(kind, reply, mails, trimmed)

    def _send(self, command: list[Any]) -> list[Any]:
        """Sends the same command until a reply is read, on a new link each time."""
        failure: StoreError | None = None
        for pause in PAUSES:
            self._wait(pause) if pause else None
            if self._lease.lost:
                raise Fenced(self._lease.lost)
            try:
                if self.link.dead:
                    self.link = Link(self._target)
                    self._lease.guard(self.link)
                reply: list[Any] = self.link.call(*command)
            except redis.ResponseError as e:
                raise refused(error_text(e), doing="the commit") from None
            except StoreError as e:
                failure = e
            else:
                return reply
        assert failure
        raise failure

    def _learn(self, known: dict[bytes, int], identity: bytes, taken: tuple[int, int] | None) -> None:
        """The ledger has this occurrence already: finds how many there are of the identity."""
        occurrence = taken[0] if taken else 0
        if occurrence <= known.get(identity, 0):
            return
        known[identity] = last_occurrence(
            self.link, identity, at_least=occurrence, key_of=self._keys.known, hash_key=self.state.hash_key
        )

    def _returns(self, mails: Sequence[Mail]) -> dict[bytes, int]:
        names = [mail.name for mail in mails if mail.name]
        return read_returns(self.link, names, keys=self._keys, hash_key=self.state.hash_key)

    def _advance(self, plan: CommitPlan, *, seq: int) -> None:
        batch, mails, was = plan.batch, plan.batch.mails, self.state
        self._tip = plan.new_tip
        self.state = dataclasses.replace(
            was,
            seq=seq,
            cursor=was.cursor if batch.cursor is None else batch.cursor,
            anchor=anchor(plan),
            messages=was.messages + len(mails),
            phase=was.phase if batch.phase is None else batch.phase,
            gate_epoch=was.gate_epoch if batch.gate_epoch is None else batch.gate_epoch,
            refetch=was.refetch if batch.refetch is None else batch.refetch,
            group_seen=was.group_seen if batch.group_seen is None else batch.group_seen,
            reset_approved=was.reset_approved and batch.gate_epoch is None,
        )
        blobs = (self._keys.stream.blob(mail.body.blob_id) for mail in mails if isinstance(mail.body, Blob))
        self._blobs.difference_update(blobs)
        if len(self.committed) < REMEMBERED:
            self.committed.update(mail.ref for mail in mails if mail.action)

    def _problem(self, kind: str, reply: list[Any], mails: Sequence[Mail], trimmed: Trimmed | None = None) -> Exception:
        if kind == "FENCED":
            return Fenced(f"the state of {self._keys.name} in Redis was changed by somebody else")
        if kind == "NOSTATE":
            text = "the state of this mailbox vanished from Redis while it was in use; nothing was committed"
            return GateClosed("StateLost", text)
        if kind == "KNOWN":
            return Fenced(f"the mail {mails[reply[1] - 1].ref} is in the ledger already; the mailbox is read anew")
        if kind == "NOSTAGE":
            return Fenced(f"of the new ledger {reply[1]} mails are in Redis, which is not all; it is made again")
        if kind == "NOBLOB":
            mail, length = mails[reply[1] - 1], reply[2]
            text = f"the large mail {mail.ref} of {mail.size} bytes has {length} bytes in Redis; it is downloaded again"
            return StoreError("StoreUnavailable", text)
        why = trimmed.why if trimmed else ""
        if kind == "FULL":
            return StoreError(
                "QueueFull",
                f"the queue holds {reply[1]} entries and spec.queue.maxLength is {self._policy.max_length}; it goes on "
                f"by itself when there is room{': ' + why if why else ''}",
                pace=Pace.CONFIGURATION,
            )
        size = sum(mail.size for mail in mails)
        error = refused(reply[1].decode(errors="replace"), doing="the commit", size=size)
        if why and error.reason == "QueueFull":
            return StoreError("QueueFull", f"{error.message} ({why})", pace=error.pace)
        return error
