"""The store as a session sees it: one mailbox, from taking its lease to the first failure.

A `Mailbox` is one life: after any failure it refuses everything, and the session makes a new one, which reads the state
anew. So no memory of what Redis held survives a reconnect; the one exception is a commit whose reply was lost, which is
sent again as it is (the script recognises it).
"""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence

import redis

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.sources.base import ActionPhase, Outcome, PendingAction
from mailfetch_fetcher.store import hashes, scripts
from mailfetch_fetcher.store.actions import Actions
from mailfetch_fetcher.store.blob import BlobWriter
from mailfetch_fetcher.store.lease import PATIENCE, Lease, LeaseKeeper
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.model import Batch, Owner, QueuePolicy, State
from mailfetch_fetcher.store.opening import open_state
from mailfetch_fetcher.store.safety import Safety
from mailfetch_fetcher.store.state import Wish
from mailfetch_fetcher.store.target import Target
from mailfetch_fetcher.store.trim import trim_queue
from mailfetch_fetcher.store.writer import Writer


class Mailbox:
    """The store's side of one mailbox.

    `commit` and `start_blob` use one link (A), everything else the other (B): a writer thread may commit while the
    session's own thread acts.
    """

    def __init__(
        self,
        *,
        target: Target,
        keys: ConnectionKeys,
        owner: Owner,
        cluster_id: str,
        policy: QueuePolicy,
        leases: LeaseKeeper,
        clock: Clock,
        wait: Callable[[float], object] = time.sleep,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        """Nothing is connected yet.

        Args:
            target: Where Redis is.
            keys: The connection.
            owner: This life of the session.
            cluster_id: The cluster; two clusters on one Redis never mix.
            policy: What the connection asks of its stream.
            leases: Renews the lease.
            clock: Clocks.
            wait: Sleeps.
            on_lost: Called, from another thread, when the lease is lost: the session should close its mailbox.
        """
        self._target = target
        self._keys = keys
        self._owner = owner
        self._cluster_id = cluster_id
        self._policy = policy
        self._leases = leases
        self._clock = clock
        self._wait = wait
        self._failed = ""
        self._writer: Writer | None = None
        self._actions: Actions | None = None
        self._lease = Lease(target=target, keys=keys, owner=owner, clock=clock, ttl=leases.ttl, on_lost=on_lost)

    # -- life ------------------------------------------------------------------------------

    def open(self, *, identity: str, gate_epoch: int, create: bool, state_id: str, known_seq: int) -> State:
        """Takes the lease and ownership of the state, or makes the state first.

        Args:
            identity: Identity of the mailbox; another one than the state's needs a newer `gate_epoch`.
            gate_epoch: Epoch of the approval.
            create: The mailbox was never seen (or was approved anew), so a state may be made.
            state_id: The state that was seen before, or empty.
            known_seq: Highest `seq` that was seen of it.

        Raises:
            GateClosed: StateLost or IdentityChanged; nothing was written.
            StoreError: another pod holds the lease (with `retry_after`), another cluster owns the state, or Redis is
                not reachable or not fit.
        """
        wish = Wish(
            identity=identity,
            cluster_id=self._cluster_id,
            gate_epoch=gate_epoch,
            create=create,
            state_id=state_id,
            known_seq=known_seq,
        )
        with self._life():
            return self._open(wish)

    def progress(self, within: float = PATIENCE) -> None:
        """The session lives, and says so again within that many seconds; otherwise its lease is given up."""
        self._lease.progress(within)

    def close(self, *, release: bool) -> None:
        """Ends this life. Never raises.

        Args:
            release: Gives the lease back, so that another pod need not wait until it runs out.
        """
        self._failed = self._failed or "it was closed"
        self._leases.remove(self._lease)
        if self._writer:
            if release and not self._lease.lost:
                self._release(self._writer)
            self._writer.close()
        if self._actions:
            self._actions.close()

    # -- link A ----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state after the last commit."""
        return self._open_writer().state

    def commit(self, batch: Batch) -> None:
        """Mails, ledger, outbox, log and cursor in one atomic step; a lost reply is asked for again.

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

    # -- names -----------------------------------------------------------------------------

    def digest(self, identity: bytes) -> str:
        """The keyed fingerprint of an identity, in hexadecimal."""
        return hashes.fingerprint(identity, key=self.state.hash_key)

    def entry_id(self, ref: str) -> str:
        """The `id` that the entry of this mail has or will have."""
        return hashes.entry_id(self.state.state_id, ref)

    # -- link B ----------------------------------------------------------------------------

    def durable_actions(self, limit: int = 100) -> list[PendingAction]:
        """The oldest after-download actions whose mails are durable; empty if there are none, or not yet.

        Reads, makes a write of its own, waits for the disk and confirms the lease, all on one link: only what this
        returns may be carried out.
        """
        with self._life():
            return self._open_actions().durable(limit)

    def confirm_lease(self) -> None:
        """Must be called before each command that changes the mailbox, unless `lease_fresh`.

        Raises:
            Fenced: it is not ours any more.
        """
        with self._life():
            self._open_actions().confirm_lease()

    def lease_fresh(self) -> bool:
        """The lease was confirmed less than a third of its life ago."""
        return not self._failed and self._lease.fresh()

    def advance(self, action: PendingAction, phase: ActionPhase) -> PendingAction:
        """Replaces the phase of an action (`copying` durably); returns the action as it stands now."""
        with self._life():
            return self._open_actions().advance(action, phase)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Removes actions that are done or dropped, with a log line each; failed ones stay."""
        with self._life():
            self._open_actions().settle(outcomes)

    def outbox_size(self) -> int:
        """Actions that are pending."""
        with self._life():
            return self._open_actions().size()

    def safety(self) -> Safety:
        """Whether after-download actions are allowed on this Redis at all, and why not (as of the last barrier)."""
        with self._life():
            return self._open_actions().safety

    def trim(self) -> int:
        """Removes acknowledged entries older than the retention, and old log lines; returns how many entries."""
        with self._life():
            link = self._open_actions().link
            return trim_queue(link, keys=self._keys, owner=str(self._owner), policy=self._policy).removed

    def queue_room(self) -> int:
        """Entries that still fit into the queue."""
        with self._life():
            length = int(self._open_actions().call("XLEN", self._keys.stream.queue))
            return max(0, self._policy.max_length - length)

    # -- inside ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _life(self) -> Iterator[None]:
        """Refuses after a failure or a lost lease; any failure in it is the last one of this life."""
        if self._lease.lost:
            raise Fenced(self._lease.lost)
        if self._failed:
            raise Fenced(f"this view of the mailbox ended: {self._failed}")
        try:
            yield
        except BaseException as e:
            self._failed = self._failed or str(e) or type(e).__name__
            raise

    def _open(self, wish: Wish) -> State:
        link, tip, asked = Link(self._target), secrets.token_hex(8), self._clock.boottime()
        try:
            state = open_state(
                link,
                keys=self._keys,
                owner=self._owner,
                wish=wish,
                policy=self._policy,
                tip=tip,
                ttl=self._leases.ttl,
                clock=self._clock,
            )
        except BaseException:
            link.close()
            raise
        self._lease.answered(1, asked=asked)
        self._lease.progress()
        self._leases.add(self._lease)
        self._writer = self._make_writer(link, state, tip)
        self._actions = self._make_actions(self._writer)
        return state

    def _release(self, writer: Writer) -> None:
        with contextlib.suppress(StoreError, redis.ResponseError):
            if writer.link.dead:
                writer.link = Link(self._target, timeout=2.0)
            writer.link.call(*scripts.evaluate(scripts.RELEASE, keys=[self._keys.lease], args=[str(self._owner)]))

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise Fenced("the mailbox is not open")
        return self._writer

    def _open_actions(self) -> Actions:
        if self._actions is None:
            raise Fenced("the mailbox is not open")
        return self._actions

    def _make_writer(self, link: Link, state: State, tip: str) -> Writer:
        return Writer(
            link=link,
            target=self._target,
            keys=self._keys,
            owner=str(self._owner),
            state=state,
            tip=tip,
            policy=self._policy,
            lease=self._lease,
            clock=self._clock,
            wait=self._wait,
        )

    def _make_actions(self, writer: Writer) -> Actions:
        return Actions(
            link=Link(self._target),
            keys=self._keys,
            owner=str(self._owner),
            lease=self._lease,
            committed=writer.committed,
            writer_run_id=lambda: writer.link.run_id,
            clock=self._clock,
            wait=self._wait,
        )
