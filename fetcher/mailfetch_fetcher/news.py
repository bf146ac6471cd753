"""What a session tells: its report, its metrics, its log."""

import logging
import re
import threading
from typing import Any

from mailfetch_fetcher import metrics
from mailfetch_fetcher.clock import rfc3339
from mailfetch_fetcher.contract.assignment import Assignment, fingerprint
from mailfetch_fetcher.contract.reasons import CONNECTION_REASONS
from mailfetch_fetcher.contract.report import ConnectionReport, Notice, NoticeReason, Problem
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.errors import FetchError, GateClosed
from mailfetch_fetcher.sources.base import Opened
from mailfetch_fetcher.store.model import State

log = logging.getLogger(__name__)
NOTICES = 5
"""So many notices stay in the report."""
_VARYING = re.compile(r"\b\d+(\.\d+)? (s|bytes|entries)\b")


class News:
    """Of one session. `committed` and `notice` may be called by the writer's thread, all else by the session's own.

    Attributes:
        failures: Consecutive failures without anything committed in between.
    """

    def __init__(self, *, assignment: Assignment, env: Environment) -> None:
        self._assignment = assignment
        self._env = env
        self._name = assignment.name
        self._labels = (assignment.namespace, assignment.name)
        self._extra = {"connection": assignment.name, "namespace": assignment.namespace}
        self._noticing = threading.Lock()
        self.failures = 0

    def begun(self, *, generation: int) -> None:
        """The session begins; what happened before it still stands in the report."""
        a = self._assignment
        before = self._env.hub.get(self._name)
        first = ConnectionReport(
            uid=a.uid,
            generation=generation,
            fingerprint=fingerprint(a),
            phase="Starting",
            identity=a.identity,
            notices=before.notices if before and before.uid == a.uid else (),
        )
        self._env.hub.put(self._name, first)

    def opened(self, state: State, *, paused_at: int) -> None:
        """The state was opened; `paused_at`: the store went back, and nobody has taken note of it yet."""
        if state.went_back and paused_at:
            self.went_back(state.went_back, seen=paused_at)
        self._env.hub.update(
            self._name,
            state_id=state.state_id,
            gate_epoch=state.gate_epoch,
            seq=state.seq,
            messages=state.messages,
        )

    def went_back(self, steps: int, *, seen: int) -> None:
        """The store lies so many steps behind what was seen of it."""
        text = (
            f"Redis went back in time by {steps} steps (step {seen} was seen before): an older copy was restored, or "
            "a failover lost the end; consumers may see mails again"
        )
        log.warning(text, extra=self._extra)
        self.notice("StoreWentBack", text)

    def notice(self, reason: NoticeReason, message: str) -> None:
        """Something happened once that people should read of."""
        with self._noticing:
            report = self._env.hub.get(self._name)
            notice = Notice(reason=reason, message=message, time=rfc3339(self._env.clock.now()))
            before = report.notices if report else ()
            self._env.hub.update(self._name, notices=(*before, notice)[-NOTICES:])

    def moved(self) -> None:
        """The mailbox was recognised at another address."""
        text = "the mailbox was recognised at its new address: downloading goes on where it was, nothing is repeated"
        log.info(text, extra=self._extra)
        self.notice("MailboxMoved", text)

    def quarantined(self, count: int) -> None:
        """So many mails are in quarantine."""
        self._env.hub.update(self._name, quarantined=count)

    def connected(self, opened: Opened) -> None:
        """The folder is open. While a problem lasts, the phase changes only when something gets on."""
        log.info("connected", extra=self._extra)
        found: dict[str, Any] = {} if self.failures else {"phase": "CatchingUp"}
        found |= {"connected": True, "insecure": opened.insecure, "uid_validity": opened.uid_validity}
        self._env.hub.update(self._name, **found)

    def committed(self) -> None:
        """Mail flows (again), so what failed before is over."""
        if self.failures:
            self.failures = 0
            self._env.hub.update(self._name, phase="CatchingUp", problem=None, failures=0)

    def caught_up(self, *, push: bool, requests: dict[str, str]) -> None:
        """A round ended well; `requests` are done by it."""
        self.failures = 0
        now = self._env.clock.now()
        metrics.LAST_SUCCESS.labels(*self._labels).set(now.timestamp())
        self._env.hub.update(self._name, quiet=True, last_success_time=rfc3339(now))
        self._env.hub.update(
            self._name,
            phase="Listening" if push else "Polling",
            problem=None,
            failures=0,
            progress=None,
            requests=requests,
        )

    def failed(self, error: FetchError) -> None:
        """Something failed and is tried again."""
        self.failures += 1
        metrics.FAILURES.labels(*self._labels, error.reason).inc()
        if error.reason in ("AuthFailed", "AuthorizationRequired"):
            metrics.LOGIN_FAILURES.labels(*self._labels, error.reason).inc()
        log.warning(error.message, extra=self._extra | {"reason": error.reason, "failures": self.failures})
        problem = Problem(reason=error.reason, message=error.message, time=rfc3339(self._env.clock.now()))
        old = self._env.hub.get(self._name)
        if old and old.problem and _same(old.problem, problem):
            problem = old.problem  # the same failure again is no news
        self._env.hub.update(self._name, quiet=True, failures=self.failures)
        unreachable: dict[str, Any] = {"connected": False} if error.reason in CONNECTION_REASONS else {}
        self._env.hub.update(
            self._name, phase="BackingOff", problem=problem, last_problem=problem, progress=None, **unreachable
        )

    def waiting(self, gate: GateClosed) -> None:
        """The session stands still until people have approved."""
        log.warning(gate.message, extra=self._extra | {"gate": gate.gate})
        self._env.hub.update(
            self._name, phase="Waiting", gate=gate.gate, gate_message=gate.message, problem=None, progress=None
        )

    def changed(self, assignment: Assignment) -> None:
        """What may change while the session runs."""
        self._env.hub.update(self._name, generation=assignment.generation)


def _same(one: Problem, other: Problem) -> bool:
    """Apart from numbers that are never twice the same."""
    texts = {_VARYING.sub("", problem.message) for problem in (one, other)}
    return one.reason == other.reason and len(texts) == 1
