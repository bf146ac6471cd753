"""The store as a session sees it: one mailbox, from taking its lease to the first failure.

A `Mailbox` is one life: after any failure it refuses everything, and the session makes a new one, which reads the state
anew. So no memory of what Redis held survives a reconnect; the one exception is a commit whose reply was lost, which is
sent again as it is (the script recognises it).
"""

from collections.abc import Sequence

from mailfetch_fetcher.sources.base import ActionPhase, Outcome, PendingAction
from mailfetch_fetcher.store import hashes, scripts
from mailfetch_fetcher.store.actions import Due
from mailfetch_fetcher.store.blob import BlobWriter
from mailfetch_fetcher.store.ledger import are_known, count_known
from mailfetch_fetcher.store.life import Life
from mailfetch_fetcher.store.model import Batch, Quarantined, State
from mailfetch_fetcher.store.prune import Pruned, forget_names, prune_ledger
from mailfetch_fetcher.store.quarantine import read_quarantine
from mailfetch_fetcher.store.read import read_token
from mailfetch_fetcher.store.safety import Safety
from mailfetch_fetcher.store.stage import Stage
from mailfetch_fetcher.store.trim import trim_queue


class Mailbox(Life):
    """The store's side of one mailbox.

    What is about commits and the ledger uses one link (A), acting and trimming the other (B). `commit` may be called
    from any thread, everything else from the session's own.
    """

    # -- link A ----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state after the last commit."""
        return self._open_writer().state

    def commit(self, batch: Batch) -> None:
        """All parts of the batch in one atomic step; a lost reply is asked for again.

        Raises:
            Fenced: somebody else owns the mailbox.
            GateClosed: the state is gone (StateLost).
            StoreError: QueueFull and StoreUnsafe: nothing was committed; StoreUnavailable: not known to be committed.
        """
        with self._life():
            self._open_writer().commit(batch)

    def start_blob(self) -> BlobWriter:
        """A place for a body larger than `INLINE`."""
        with self._life():
            return self._open_writer().start_blob()

    def digest(self, identity: bytes) -> str:
        """The keyed fingerprint of an identity, in hexadecimal."""
        return hashes.fingerprint(identity, key=self.state.hash_key)

    def known(self, names: Sequence[bytes]) -> list[bool]:
        """Which of these mails were committed, count as old, or are in quarantine."""
        with self._life():
            writer = self._open_writer()
            return are_known(writer.link, names, keys=self._keys, hash_key=writer.state.hash_key)

    def ledger_size(self) -> int:
        """Mails that the ledger has."""
        with self._life():
            return count_known(self._open_writer().link, keys=self._keys)

    def stage(self) -> Stage:
        """A ledger beside the one in use; `Batch.staged` lets it take its place."""
        with self._life():
            return self._open_writer().stage()

    def quarantine(self) -> list[Quarantined]:
        """All mails in quarantine, in the order of their first failure."""
        with self._life():
            return read_quarantine(self._open_writer().link, keys=self._keys)

    def prune(self, listed: Sequence[bytes], *, now: int) -> Pruned:
        """Takes out of the ledger what is for good no longer in the mailbox (`store.md` 39).

        Args:
            listed: The names of all mails in the mailbox: a complete list. By an empty one only what we deleted goes.
            now: Seconds since 1970.
        """
        with self._life():
            return prune_ledger(self._open_writer(), listed, keys=self._keys, now=now)

    def forget(self, names: Sequence[bytes]) -> None:
        """Takes names out of the ledger whose mails are proven to have left, with what was to be done with them."""
        with self._life():
            forget_names(self._open_writer(), names, keys=self._keys)

    # -- link B ----------------------------------------------------------------------------

    def durable(self) -> bool:
        """Everything that was committed is on disk by now."""
        with self._life():
            return self._open_actions().durable()

    def due_actions(self, limit: int = 100, *, delay: float = 0.0, group: str = "") -> Due:
        """The oldest after-download actions that may be carried out: only what this returns may be.

        Reads, makes a write of its own, waits for the disk and confirms the lease, all on one link.

        Args:
            limit: Most actions.
            delay: Seconds since the mail entered the queue, by the clock of Redis.
            group: Consumer group that must have acknowledged the mail; empty: none.
        """
        with self._life():
            return self._open_actions().due(limit, delay=delay, group=group)

    def confirm_lease(self) -> None:
        """Must be called before each command that changes the mailbox.

        Raises:
            Fenced: it is not ours any more.
        """
        with self._life():
            self._open_actions().confirm_lease()

    def advance(self, actions: Sequence[PendingAction], phase: ActionPhase) -> list[PendingAction]:
        """Replaces the phase of actions (`copying` durably); returns them as they stand now, in the same order."""
        with self._life():
            return self._open_actions().advance(actions, phase)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Removes actions that are done or dropped, with a log line each; failed ones stay."""
        with self._life():
            self._open_actions().settle(outcomes)

    def outbox(self) -> list[PendingAction]:
        """All pending actions, oldest first: for translating them after a reset. Nothing of it may be carried out."""
        with self._life():
            return self._open_actions().all()

    def last_message(self) -> str:
        """When a mail was last committed, RFC 3339; empty: never."""
        with self._life():
            found = self._open_actions().call("HGET", self._keys.stats, "last_message")
            return found.decode() if found else ""

    def outbox_size(self) -> int:
        """Actions that are pending."""
        with self._life():
            return self._open_actions().size()

    def safety(self) -> Safety:
        """Whether after-download actions are allowed on this Redis at all, and why not (as of the last barrier)."""
        with self._life():
            return self._open_actions().safety

    def trim(self) -> int:
        """Removes acknowledged entries older than the retention, old log lines and orphaned bodies; returns entries."""
        with self._life():
            self._open_actions().sweep()
            link = self._open_actions().link
            return trim_queue(link, keys=self._keys, owner=str(self._owner), policy=self._policy).removed

    def load_token(self) -> bytes:
        """The sealed refresh token that was kept last; the mailbox need not be open."""
        with self._life():
            return read_token(self._locate(), self._keys)

    def keep_token(self, sealed: bytes) -> None:
        """Keeps a sealed refresh token; does nothing where the mailbox is not open yet, or not ours any more."""
        if self._actions is None:
            return
        with self._life():
            names = [self._keys.state, self._keys.token]
            self._actions.call(*scripts.evaluate(scripts.TOKEN, keys=names, args=[str(self._owner), sealed]))

    def queue_room(self) -> int:
        """Entries that still fit into the queue."""
        with self._life():
            length = int(self._open_actions().call("XLEN", self._keys.stream.queue))
            return max(0, self._policy.max_length - length)
