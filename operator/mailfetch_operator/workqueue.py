"""A deduplicating work queue: the one place where reconciling is scheduled.

A key that is added many times is worked on once, and never by two workers at a time. A key that is added while it
is worked on is worked on again afterwards, so no change is missed. A failure is tried again with exponential
back-off and jitter, per key, so that one broken object does not slow down the others.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from mailfetch_operator import metrics

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST = 0.5
BACKOFF_LAST = 300.0
"""Seconds after the first failure of a key, and at most."""


class WorkQueue(Generic[K]):
    """Keys that are due, and the workers. Lives in one event loop.

    Args:
        work: Called with a key. It returns the number of seconds after which the key is due again, or None.
            An exception is logged, and the key is tried again later.
        workers: How many keys are worked on at the same time.
        rand: A number in [0, 1), for jitter.
    """

    def __init__(
        self,
        work: Callable[[K], Awaitable[float | None]],
        *,
        workers: int = 16,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._work = work
        self._workers = workers
        self._rand = rand
        self._ready: asyncio.Queue[K | None] = asyncio.Queue()
        self._queued: set[K] = set()
        self._running: dict[K, float] = {}
        self._again: set[K] = set()
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._moved_at = 0.0
        self._closed = False

    def add(self, key: K) -> None:
        """Makes the key due now."""
        self._drop_timer(key)
        if self._closed or key in self._queued:
            return
        if key in self._running:
            self._again.add(key)
            return
        if not self._queued:
            self._moved_at = _now()  # a standstill counts from when there was something to do
        self._queued.add(key)
        self._ready.put_nowait(key)
        metrics.WORKQUEUE_DEPTH.set(len(self._queued))

    def add_after(self, key: K, seconds: float) -> None:
        """Makes the key due later; changes nothing if it is due earlier anyway."""
        if self._closed or key in self._queued or key in self._again:
            return
        due = _now() + max(0.0, seconds)
        timer = self._later.get(key)
        if timer and timer.when() <= due:
            return
        self._drop_timer(key)
        self._later[key] = asyncio.get_running_loop().call_at(due, self.add, key)

    def start(self) -> None:
        """Starts the workers. Keys may be added before."""
        self._moved_at = _now()
        self._tasks = [asyncio.create_task(self._worker(), name=f"reconcile-{n}") for n in range(self._workers)]

    async def stop(self, *, grace: float) -> None:
        """Starts nothing more, lets running work finish, cancels what is not done after `grace` seconds."""
        self._closed = True
        for key in list(self._later):
            self._drop_timer(key)
        self._queued.clear()
        for _ in self._tasks:
            self._ready.put_nowait(None)
        if not self._tasks:
            return
        _, pending = await asyncio.wait(self._tasks, timeout=grace)
        for task in pending:
            task.cancel()
        if pending:
            logger.warning("shutdown cut off %d reconciles; they are made up for at the next start", len(pending))
            await asyncio.wait(pending)

    @property
    def idle(self) -> bool:
        """Nothing is due and nothing is worked on."""
        return not self._queued and not self._running

    def standstill(self) -> float:
        """Seconds for which work has not moved on although there is some; about 0 if all is well."""
        now = _now()
        longest = max((now - since for since in self._running.values()), default=0.0)
        return max(longest, now - self._moved_at if self._queued else 0.0)

    def _drop_timer(self, key: K) -> None:
        if timer := self._later.pop(key, None):
            timer.cancel()

    async def _worker(self) -> None:
        while (key := await self._ready.get()) is not None:
            if key not in self._queued:  # the queue was stopped meanwhile
                continue
            self._queued.discard(key)
            self._running[key] = self._moved_at = _now()
            metrics.WORKQUEUE_DEPTH.set(len(self._queued))
            try:
                await self._run(key)
            finally:
                del self._running[key]
                self._moved_at = _now()
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _run(self, key: K) -> None:
        try:
            with metrics.RECONCILE_SECONDS.time():
                due_again = await self._work(key)
        except Exception as e:  # whatever it is, the other keys must go on
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = backoff(failures, self._rand())
            metrics.RECONCILES.labels("error").inc()
            # The stack tells something only if the code is wrong; an API server's refusal says enough itself.
            logger.warning(
                "reconcile failed: %s",
                e or repr(e),
                exc_info=not isinstance(e, ExpectedError),
                extra={"key": _text(key), "failures": failures, "retry_in_seconds": round(delay, 1)},
            )
            self.add_after(key, delay)
            return
        metrics.RECONCILES.labels("ok").inc()
        self._failures.pop(key, None)
        if due_again is not None:
            self.add_after(key, due_again)


class ExpectedError(Exception):
    """A failure of the world, not of the code: logged without a stack."""


def backoff(failures: int, rand: float) -> float:
    """Seconds until the next try: doubling, capped, the upper half jittered."""
    full = min(BACKOFF_LAST, BACKOFF_FIRST * 2.0 ** min(failures - 1, 16))
    return full * (0.5 + rand / 2)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _text(key: object) -> str:
    return "/".join(str(part) for part in key) if isinstance(key, tuple) else str(key)
