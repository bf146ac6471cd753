"""How far a download has come: lag, progress, counters; in the report and as metrics."""

from datetime import UTC, datetime

from mailfetch_fetcher import metrics
from mailfetch_fetcher.clock import rfc3339
from mailfetch_fetcher.committer import body_size
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.report import Progress
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.mails import seconds_since
from mailfetch_fetcher.store.model import Batch, State

BACKLOG = 100
"""From this many new mails on a round shows its progress."""
FORESEEABLE = 365 * 86400.0
"""Seconds: no end is told that lies further away (a server may claim any number of mails)."""


class Meter:
    """Of one connection; told by the session's thread what is to come, and by the writer's thread what was committed.

    Attributes:
        done: Mails committed since `begin`.
    """

    def __init__(self, *, assignment: Assignment, env: Environment) -> None:
        self._name = assignment.name
        self._labels = (assignment.namespace, assignment.name)
        self._env = env
        self._total = 0
        self._began = 0.0
        self.done = 0

    def begin(self, total: int) -> None:
        """So many mails are to come."""
        self.done, self._total, self._began = 0, total, self._env.clock.monotonic()
        self._tell_lag()

    def end(self) -> None:
        """That was all."""
        self._total = self.done
        self._tell_lag()

    def committed(self, batch: Batch, state: State) -> None:
        """A batch with mails was committed; `state` is as it stands now."""
        self.done += len(batch.mails)
        metrics.MESSAGES.labels(*self._labels).inc(len(batch.mails))
        metrics.BYTES.labels(*self._labels).inc(body_size(batch.mails))
        now = self._env.clock.now()
        if self._total < BACKLOG:
            for mail in batch.mails:
                metrics.observe_arrival(seconds_since(mail.received, now))
        self._env.hub.update(
            self._name,
            quiet=True,
            messages=state.messages,
            seq=state.seq,
            last_message_time=rfc3339(now),
            progress=self._progress(),
        )
        self._tell_lag()

    def _progress(self) -> Progress | None:
        if self._total < BACKLOG:
            return None
        seconds = max(self._env.clock.monotonic() - self._began, 0.001)
        rate = self.done / seconds
        left = max(self._total - self.done, 0) / rate
        end = self._env.clock.now().timestamp() + left
        return Progress(
            done=self.done,
            total=max(self._total, self.done),
            per_second=round(rate),
            expected_end=rfc3339(datetime.fromtimestamp(end, UTC)) if left < FORESEEABLE else "",
        )

    def _tell_lag(self) -> None:
        lag = max(self._total - self.done, 0)
        metrics.LAG.labels(*self._labels).set(lag)
        self._env.hub.update(self._name, quiet=True, lag=lag)
