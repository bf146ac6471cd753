"""One life of a mailbox in the store: opened once, its two links, its lease, and the first failure that ends it."""

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator

import redis

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.keys import ConnectionKeys
from mailfetch_fetcher.errors import Fenced, StoreError
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.actions import Actions
from mailfetch_fetcher.store.lease import PATIENCE, Lease, LeaseKeeper
from mailfetch_fetcher.store.link import Link
from mailfetch_fetcher.store.locate import locate
from mailfetch_fetcher.store.model import Owner, QueuePolicy, State
from mailfetch_fetcher.store.opening import open_state
from mailfetch_fetcher.store.read import read_state
from mailfetch_fetcher.store.state import Wish
from mailfetch_fetcher.store.target import Target
from mailfetch_fetcher.store.writer import Writer


class Life:
    """Opening and closing. After any failure it refuses everything, and the session makes a new one."""

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
            target: Where Redis is; with Sentinel or Cluster the server is looked for when it is first needed.
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
        self._peeked: State | None = None
        self._writer: Writer | None = None
        self._actions: Actions | None = None
        self._lease = Lease(target=target, keys=keys, owner=owner, clock=clock, ttl=leases.ttl, on_lost=on_lost)

    def peek(self) -> State | None:
        """The state as it is, or None if there is none; takes nothing and writes nothing."""
        with self._life():
            self._peeked = read_state(self._locate(), self._keys)
            return self._peeked

    def open(
        self,
        *,
        identity: str,
        gate_epoch: int,
        create: bool,
        state_id: str,
        known_seq: int,
        baseline: bool = False,
        adopt: bool = False,
    ) -> State:
        """Takes the lease and ownership of the state, or makes the state first.

        Args:
            identity: Identity of the mailbox; another one than the state's needs a newer `gate_epoch`, or `adopt`.
            gate_epoch: Epoch of the approval.
            create: The mailbox was never seen (or was approved anew), so a state may be made.
            state_id: The state that was seen before, or empty.
            known_seq: Highest `seq` that was seen of it.
            baseline: A new state begins in phase Baseline.
            adopt: It was proven that the state which `peek` returned is of the same mailbox (`store.md` 45): it goes
                on, with this identity.

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
            baseline=baseline,
            adopts=self._peeked.state_id if adopt and self._peeked else "",
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
                self._writer.link = self._release(self._writer.link)
            self._writer.close()
        if self._actions:
            self._actions.close()

    # -- for the facade --------------------------------------------------------------------

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

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise Fenced("the mailbox is not open")
        return self._writer

    def _open_actions(self) -> Actions:
        if self._actions is None:
            raise Fenced("the mailbox is not open")
        return self._actions

    # -- inside ----------------------------------------------------------------------------

    def _locate(self) -> Target:
        """The server of this life: found once."""
        self._target = locate(self._target, key=self._keys.state)
        return self._target

    def _open(self, wish: Wish) -> State:
        link, tip, asked = Link(self._locate()), secrets.token_hex(8), self._clock.boottime()
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
            self._release(link).close()  # the lease may be ours without our having heard of it
            raise
        self._lease.target = self._locate()
        self._lease.answered(1, asked=asked)
        self._lease.progress()
        self._leases.add(self._lease)
        self._writer = self._make_writer(link, state, tip)
        self._actions = self._make_actions(self._writer)
        # From now on it would be noticed if the server's clock were set back.
        self._actions.call(*self._lease.renewal(run_id=link.run_id))
        return state

    def _release(self, link: Link) -> Link:
        """Gives the lease back, if it is ours; returns a link that lives, if there is one."""
        for _ in range(2):  # the link may break just now; else another pod would have to wait
            with contextlib.suppress(StoreError, redis.ResponseError):
                if link.dead:
                    link = Link(self._locate(), timeout=2.0)
                link.call(*scripts.evaluate(scripts.RELEASE, keys=[self._keys.lease], args=[str(self._owner)]))
                break
        return link

    def _make_writer(self, link: Link, state: State, tip: str) -> Writer:
        return Writer(
            link=link,
            target=self._locate(),
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
            link=Link(self._locate()),
            keys=self._keys,
            owner=str(self._owner),
            lease=self._lease,
            writer=writer,
            clock=self._clock,
            wait=self._wait,
        )
