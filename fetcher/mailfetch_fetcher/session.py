"""One mailbox: take the lease → connect → download → after-download actions → wait → again; back off on failure.

A session owns one thread, one connection to the mailbox and its links to Redis. It holds nothing in memory that
outlives a failure: after any error everything is closed and read anew.
"""

import logging
import random
import threading

from mailfetch_fetcher import backoff, metrics
from mailfetch_fetcher.auth.password import SecretWatch
from mailfetch_fetcher.clock import rfc3339
from mailfetch_fetcher.connect import make_source
from mailfetch_fetcher.contract.assignment import Assignment, fingerprint
from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.contract.report import ConnectionReport, Problem
from mailfetch_fetcher.contract.units import duration, period
from mailfetch_fetcher.environment import Environment, redis_target
from mailfetch_fetcher.errors import FetchError, GateClosed, Pace, SourceError
from mailfetch_fetcher.round import Round
from mailfetch_fetcher.sources.base import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Owner, QueuePolicy

log = logging.getLogger(__name__)
_SOON = 5.0
"""Seconds between looks at actions that are not durable yet."""


class Session:
    """Runs one assignment until it is stopped."""

    def __init__(self, *, assignment: Assignment, cluster_id: str, env: Environment) -> None:
        self._assignment = assignment
        self._cluster_id = cluster_id
        self._env = env
        self._name = assignment.name
        self._extra = {"connection": assignment.name, "namespace": assignment.namespace}
        self._stop = threading.Event()
        self._nudge = threading.Event()
        self._source: Source | None = None
        self._mailbox: Mailbox | None = None
        self._failures = 0
        self._seen_state = assignment.state_id
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
        """Takes over what may change while the session runs (requests, generation)."""
        asked = assignment.requests != self._assignment.requests
        self._assignment = assignment
        self._env.hub.update(self._name, generation=assignment.generation)
        if asked:
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
        """Closes the connection under a session that does not end by itself."""
        if source := self._source:
            source.close()

    def join(self, seconds: float) -> bool:
        """Waits for the end; True if it ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # -- the thread ------------------------------------------------------------------------

    def run(self) -> None:
        """The loop of the session."""
        self._env.hub.put(self._name, self._first_report())
        watch = SecretWatch(self._assignment.spec, directory=self._env.secrets)
        while not self._stop.is_set():
            watch.mark()
            try:
                self._life()
            except GateClosed as e:
                self._close()
                self._wait_for_approval(e)
            except FetchError as e:
                self._failed(e)
            except Exception:
                log.exception("internal error", extra=self._extra)
                text = "internal error in the fetcher; its log has the details, please report it"
                self._failed(FetchError("FetcherUnavailable", text, pace=Pace.CONFIGURATION))
            finally:
                self._close()
            if self._failures and not self._stop.is_set():
                self._back_off(watch)

    def _life(self) -> None:
        """From taking the lease to the first failure."""
        a = self._assignment
        timeout = duration(a.spec.schedule.timeout, default=30.0)
        mailbox = self._mailbox = self._make_mailbox()
        state = mailbox.open(
            identity=a.identity,
            gate_epoch=a.gate_epoch,
            create=not self._seen_state,
            state_id=self._seen_state,
            known_seq=a.seq,
        )
        self._seen_state = state.state_id
        self._env.hub.update(
            self._name,
            state_id=state.state_id,
            gate_epoch=state.gate_epoch,
            identity=a.identity,
            seq=state.seq,
            messages=state.messages,
        )
        mailbox.progress(within=8 * timeout)
        source = self._source = make_source(a, secrets=self._env.secrets)
        if self._stop.is_set():  # stop() may have looked for a source just before there was one
            return
        opened = source.open()
        log.info("connected", extra=self._extra)
        self._env.hub.update(
            self._name, connected=True, insecure=opened.insecure, uid_validity=opened.uid_validity, phase="CatchingUp"
        )
        run = Round(
            assignment=a,
            opened=opened,
            source=source,
            mailbox=mailbox,
            env=self._env,
            cursor=state.cursor,
            stopping=self._stop.is_set,
        )
        while not self._stop.is_set():
            self._nudge.clear()
            asked = self._assignment.requests
            run.download()
            run.finish_actions()
            if self._stop.is_set():
                return
            self._succeeded(push=opened.can_push, requests=asked)
            self._wait(source, mailbox, actions_waiting=run.actions_waiting)

    def _wait(self, source: Source, mailbox: Mailbox, *, actions_waiting: bool) -> None:
        if self._nudge.is_set():
            return
        interval = duration(self._assignment.spec.schedule.interval, default=60.0)
        timeout = duration(self._assignment.spec.schedule.timeout, default=30.0)
        seconds = min(interval, _SOON) if actions_waiting else interval
        mailbox.progress(within=seconds + timeout)
        source.wait(seconds)
        mailbox.progress(within=timeout)

    def _make_mailbox(self) -> Mailbox:
        a = self._assignment
        queue, after = a.spec.queue, a.spec.after_download
        groups = {*queue.consumer_groups, *([after.consumer_group] if after.consumer_group else [])}
        return Mailbox(
            target=redis_target(self._env.redis, namespace=a.namespace),
            keys=StreamKeys(namespace=a.namespace, stream=a.stream).connection(a.name),
            owner=Owner(pod_uid=self._env.pod_uid),
            cluster_id=self._cluster_id,
            policy=QueuePolicy(
                max_length=queue.max_length,
                consumer_groups=tuple(sorted(groups)),
                queue_seconds=period(a.spec.retention.queue),
                log_seconds=period(a.spec.retention.log),
            ),
            leases=self._env.leases,
            clock=self._env.clock,
        )

    def _close(self) -> None:
        source, self._source = self._source, None
        mailbox, self._mailbox = self._mailbox, None
        if source:
            source.close()
        if mailbox:
            mailbox.close(release=True)

    # -- telling ---------------------------------------------------------------------------

    def _first_report(self) -> ConnectionReport:
        a = self._assignment
        return ConnectionReport(
            uid=a.uid, generation=a.generation, fingerprint=fingerprint(a), phase="Starting", identity=a.identity
        )

    def _succeeded(self, *, push: bool, requests: dict[str, str]) -> None:
        self._failures = 0
        now = self._env.clock.now()
        labels = (self._assignment.namespace, self._name)
        metrics.LAST_SUCCESS.labels(*labels).set(now.timestamp())
        self._env.hub.update(self._name, quiet=True, last_success_time=rfc3339(now))
        self._env.hub.update(
            self._name,
            phase="Listening" if push else "Polling",
            problem=None,
            failures=0,
            progress=None,
            requests={k: v for k, v in requests.items() if k == "fetch"},
        )

    def _failed(self, error: FetchError) -> None:
        self._failures += 1
        labels = (self._assignment.namespace, self._name)
        metrics.FAILURES.labels(*labels, error.reason).inc()
        if error.reason in ("AuthFailed", "AuthorizationRequired"):
            metrics.LOGIN_FAILURES.labels(*labels, error.reason).inc()
        log.warning(error.message, extra=self._extra | {"reason": error.reason, "failures": self._failures})
        problem = Problem(reason=error.reason, message=error.message, time=rfc3339(self._env.clock.now()))
        old = self._env.hub.get(self._name)
        if old and old.problem and (old.problem.reason, old.problem.message) == (problem.reason, problem.message):
            problem = old.problem  # the same failure again is no news
        self._env.hub.update(self._name, quiet=True, failures=self._failures)
        self._env.hub.update(
            self._name,
            phase="BackingOff",
            problem=problem,
            last_problem=problem,
            connected=not isinstance(error, SourceError),
            progress=None,
        )
        self._last_error = error

    def _back_off(self, watch: SecretWatch) -> None:
        """Waits; a nudge or a changed Secret ends it at once."""
        self._nudge.clear()
        chance = random.random()  # noqa: S311 - jitter
        seconds = backoff.delay(self._last_error, self._failures, chance=chance)
        end = self._env.clock.monotonic() + seconds
        while (left := end - self._env.clock.monotonic()) > 0:
            if self._nudge.wait(min(left, 1.0)) or watch.changed():
                return

    def _wait_for_approval(self, gate: GateClosed) -> None:
        """Stands still; the pool replaces this session when the gate has opened again."""
        log.warning(gate.message, extra=self._extra | {"gate": gate.gate})
        self._env.hub.update(
            self._name, phase="Waiting", gate=gate.gate, gate_message=gate.message, problem=None, progress=None
        )
        self._stop.wait()
