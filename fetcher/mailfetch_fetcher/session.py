"""One mailbox: take the lease → connect → download → after-download actions → wait → again; back off on failure.

A session owns one thread, one connection to the mailbox and its links to Redis. It holds nothing in memory that
outlives a failure: after any error everything is closed and read anew.
"""

import contextlib
import logging
import math
import random
import threading

from mailfetch_fetcher import backoff
from mailfetch_fetcher.auth.password import SecretWatch
from mailfetch_fetcher.connect import make_source
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.keys import ConnectionKeys, StreamKeys
from mailfetch_fetcher.contract.units import duration
from mailfetch_fetcher.environment import Environment, redis_target
from mailfetch_fetcher.errors import FetchError, GateClosed, Pace, StoreError
from mailfetch_fetcher.memory import Memory
from mailfetch_fetcher.moved import is_same
from mailfetch_fetcher.news import News
from mailfetch_fetcher.policy import queue_policy
from mailfetch_fetcher.pulse import SLACK, Pulse, Stopped
from mailfetch_fetcher.sources.base import Opened
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Owner, State
from mailfetch_fetcher.store.read import LedgerView
from mailfetch_fetcher.store.target import Target
from mailfetch_fetcher.store.token import MailboxToken
from mailfetch_fetcher.work import Work

log = logging.getLogger(__name__)
_SOON = 5.0
"""Seconds between looks at actions that are not durable yet."""


class Session:
    """Runs one assignment until it is stopped."""

    def __init__(self, *, assignment: Assignment, cluster_id: str, env: Environment, memory: Memory) -> None:
        """Starts nothing yet.

        Args:
            assignment: What to do.
            cluster_id: The cluster.
            env: What all sessions share.
            memory: What the process knows of the state; this session has it for itself until it has ended.
        """
        self._assignment = assignment
        self._cluster_id = cluster_id
        self._env = env
        self._memory = memory
        self._news = News(assignment=assignment, env=env)
        self._extra = {"connection": assignment.name, "namespace": assignment.namespace}
        self._timeout = duration(assignment.spec.schedule.timeout, default=30.0)
        self._stop = threading.Event()
        self._nudge = threading.Event()
        self._source: Source | None = None
        self._mailbox: Mailbox | None = None
        self._act_first = False
        self._thread = threading.Thread(target=self.run, name=assignment.name, daemon=True)

    # -- used by the pool ------------------------------------------------------------------

    @property
    def namespace(self) -> str:
        """Namespace of the connection."""
        return self._assignment.namespace

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def update(self, assignment: Assignment) -> None:
        """Takes over what may change while the session runs (requests, generation, what was seen of the state)."""
        before, self._assignment = self._assignment, assignment
        self._news.changed(assignment)
        if assignment.requests != before.requests or assignment.seq > self._memory.seq:
            self.nudge()

    def nudge(self) -> None:
        """Ends the present wait."""
        self._nudge.set()
        if source := self._source:
            source.wake()

    def stop(self) -> None:
        """Asks the session to end; it finishes or abandons its batch and releases the lease."""
        self._stop.set()
        self.nudge()

    def cut(self) -> None:
        """Closes the connection under a session that does not end by itself, or that lost its lease."""
        if source := self._source:
            source.close()

    def join(self, seconds: float) -> bool:
        """Waits for the end; True if it ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # -- the thread ------------------------------------------------------------------------

    def run(self) -> None:
        """The loop of the session."""
        self._news.begun(generation=self._assignment.generation)
        watch = SecretWatch(self._assignment.spec, directory=self._env.secrets)
        while not self._stop.is_set():
            watch.mark()
            seconds = self._attempt()
            if math.isinf(seconds):
                self._stop.wait()  # the pool replaces this session when the gate has opened again
            elif seconds:
                self._back_off(seconds, watch)

    def _attempt(self) -> float:
        """One life; returns how long to wait before the next one, which is for ever when the gate is closed."""
        try:
            self._live()
        except Stopped:
            pass
        except GateClosed as e:
            self._news.waiting(e)
            return math.inf
        except FetchError as e:
            return self._failed(e)
        except Exception:
            log.exception("internal error", extra=self._extra)
            text = "internal error in the fetcher; its log has the details, please report it"
            return self._failed(FetchError("FetcherUnavailable", text, pace=Pace.CONFIGURATION))
        finally:
            self._close()
        return 0.0

    def _live(self) -> None:
        """From taking the lease to the first failure."""
        a = self._assignment
        target = redis_target(self._env.redis, namespace=a.namespace)
        mailbox = self._mailbox = self._make_mailbox(target)
        pulse = Pulse(mailbox=mailbox, timeout=self._timeout, stopping=self._stop.is_set)
        before = mailbox.peek()
        opened = self._open(target, mailbox, pulse, before)
        assert self._source
        work = Work(
            assignment=a,
            opened=opened,
            source=self._source,
            mailbox=mailbox,
            env=self._env,
            memory=self._memory,
            news=self._news,
            pulse=pulse,
            epoch_before=before.gate_epoch if before else a.gate_epoch,
            requests=lambda: self._assignment.requests,
            paused_at=self._paused_at,
        )
        work.prepare()
        # What stops a download (a full queue, a mail that is too large) must not hold up the actions for ever; what
        # stops the actions must not hold up the download: so the first to go is the one that did not fail.
        act_first, self._act_first = self._act_first, False
        if act_first:
            work.act()
        try:
            self._rounds(work, self._source, mailbox, push=opened.can_push, target=target)
        finally:
            self._act_first = work.downloading

    def _open(self, target: Target, mailbox: Mailbox, pulse: Pulse, before: State | None) -> Opened:
        """Takes the state and opens the mailbox: in this order, unless the state must be compared with it first."""
        a, opened, moved = self._assignment, None, False
        if before and before.identity != a.identity and before.cluster_id == self._cluster_id:
            opened = self._connect(pulse)
            assert self._source
            with LedgerView(target, self._keys, before) as ledger:
                moved = is_same(self._source, before, known=ledger.known)
        state = mailbox.open(
            identity=a.identity,
            gate_epoch=a.gate_epoch,
            create=not self._memory.state_id,
            state_id=self._memory.state_id,
            known_seq=self._memory.seq,
            baseline=a.spec.backlog.start_from != "Beginning",
            adopt=moved,
        )
        self._memory.opened(state)
        self._news.opened(state, paused_at=self._paused_at())
        if moved:
            self._news.moved()
        opened = opened or self._connect(pulse)
        self._news.connected(opened)
        return opened

    def _connect(self, pulse: Pulse) -> Opened:
        assert self._mailbox
        self._source = make_source(
            self._assignment,
            secrets=self._env.secrets,
            tokens=self._env.tokens,
            rotated=MailboxToken(self._mailbox),
            observe=lambda *_: pulse.check(),
            alive=pulse.check,
            careful=self._memory.careful,
        )
        pulse.connecting()  # stop() may have looked for a source just before there was one
        return self._source.open()

    def _rounds(self, work: Work, source: Source, mailbox: Mailbox, *, push: bool, target: Target) -> None:
        while True:
            self._nudge.clear()
            done = work.round()
            if not work.more:
                self._news.caught_up(push=push, requests=done)
            self._wait(source, mailbox, work)
            if self._redis_moved(target):
                return

    def _wait(self, source: Source, mailbox: Mailbox, work: Work) -> None:
        if self._nudge.is_set():
            return
        seconds = duration(self._assignment.spec.schedule.interval, default=60.0)
        if work.more:
            seconds = 0.0
        elif work.waiting:
            seconds = min(seconds, _SOON)
        seconds = max(seconds, source.login_delay)
        mailbox.progress(within=seconds + 2 * self._timeout + SLACK)
        source.wait(seconds)

    def _redis_moved(self, target: Target) -> bool:
        """The Redis Secret names another Redis (or password): everything is read anew there."""
        try:
            return redis_target(self._env.redis, namespace=self._assignment.namespace) != target
        except StoreError:
            return False  # it is missing at the moment: the link that there is goes on

    def _paused_at(self) -> int:
        """See `Acting`. The operator may notice it while the session runs (`Assignment.seq`)."""
        a, memory = self._assignment, self._memory
        seq = self._mailbox.state.seq if self._mailbox else 0
        news = memory.heard(a, seq=seq)
        if memory.resumed(a.requests):
            return 0
        if news:
            self._news.went_back(memory.paused_at - seq, seen=memory.paused_at)
        return memory.paused_at

    @property
    def _keys(self) -> ConnectionKeys:
        a = self._assignment
        return StreamKeys(namespace=a.namespace, stream=a.stream).connection(a.name)

    def _make_mailbox(self, target: Target) -> Mailbox:
        return Mailbox(
            target=target,
            keys=self._keys,
            owner=Owner(pod_uid=self._env.pod_uid),
            cluster_id=self._cluster_id,
            policy=queue_policy(self._assignment.spec),
            leases=self._env.leases,
            clock=self._env.clock,
            on_lost=self.cut,
        )

    def _failed(self, error: FetchError) -> float:
        if self._stop.is_set():  # cut off while stopping: not worth telling
            return 0.0
        self._news.failed(error)
        return backoff.delay(error, self._news.failures, chance=random.random())  # noqa: S311 - jitter

    def _back_off(self, seconds: float, watch: SecretWatch) -> None:
        """Waits; a nudge, a changed Secret or the end of the session ends it at once."""
        end = self._env.clock.monotonic() + seconds
        while (left := end - self._env.clock.monotonic()) > 0 and not self._stop.is_set():
            if self._nudge.wait(min(left, 1.0)) or watch.changed():
                break
        self._nudge.clear()

    def _close(self) -> None:
        source, self._source = self._source, None
        mailbox, self._mailbox = self._mailbox, None
        try:
            if source:
                source.close()
        finally:
            if mailbox:
                self._remember(mailbox)
                mailbox.close(release=True)

    def _remember(self, mailbox: Mailbox) -> None:
        with contextlib.suppress(StoreError):  # it was never open
            self._memory.seq = max(self._memory.seq, mailbox.state.seq)
