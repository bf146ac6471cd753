"""Tests a connection step by step and counts its new mails. Reads only: the mailbox and Redis stay as they are."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from mailfetch_fetcher.clock import Clock, rfc3339
from mailfetch_fetcher.connect import make_source
from mailfetch_fetcher.contract import probe as contract
from mailfetch_fetcher.contract import secrets
from mailfetch_fetcher.contract.assignment import Assignment, decode, fingerprint
from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.contract.probe import Estimate, ProbeResult, Step, StepName, StoreState
from mailfetch_fetcher.contract.report import Problem
from mailfetch_fetcher.environment import redis_target
from mailfetch_fetcher.errors import FetchError
from mailfetch_fetcher.sources.base import Opened, Snapshot
from mailfetch_fetcher.store.model import State
from mailfetch_fetcher.store.read import read_state

log = logging.getLogger(__name__)
STEPS: Sequence[StepName] = get_args(StepName)


class Steps:
    """Records the steps with their times; called by the source as each one succeeds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self.done: list[Step] = []

    def __call__(self, name: StepName, detail: str) -> None:
        """A step succeeded."""
        self._add(name, ok=True, detail=detail)

    def failed(self, detail: str) -> None:
        """The step behind the last good one failed."""
        names = [s.name for s in self.done]
        position = STEPS.index(names[-1]) + 1 if names else 0
        if position < len(STEPS):
            self._add(STEPS[position], ok=False, detail=detail)

    def _add(self, name: StepName, *, ok: bool, detail: str) -> None:
        now = self._clock.monotonic()
        self.done.append(Step(name=name, ok=ok, detail=detail, milliseconds=round(1000 * (now - self._since))))
        self._since = now


def examine(a: Assignment, *, cluster_id: str, secrets: Path, redis: Path, clock: Clock) -> ProbeResult:
    """Tests the way to the mailbox, then counts against the checkpoint in Redis. Never raises `FetchError`."""
    steps = Steps(clock)
    now = rfc3339(clock.now())
    base = ProbeResult(uid=a.uid, fingerprint=fingerprint(a), time=now)
    try:
        look, opened, state = _look(a, steps, cluster_id=cluster_id, secrets=secrets, redis=redis)
    except FetchError as e:
        problem = Problem(reason=e.reason, message=e.message, time=now)
        return ProbeResult(uid=a.uid, fingerprint=base.fingerprint, time=now, steps=tuple(steps.done), problem=problem)
    same = state is None or state.identity == a.identity
    return ProbeResult(
        uid=a.uid,
        fingerprint=base.fingerprint,
        time=now,
        steps=tuple(steps.done),
        estimate=estimate(look, opened, state if same else None),
        state=StoreState(
            state_id=state.state_id if state else "", same_mailbox=same, gate_epoch=state.gate_epoch if state else 0
        ),
        uid_validity=opened.uid_validity,
    )


def _look(
    a: Assignment, steps: Steps, *, cluster_id: str, secrets: Path, redis: Path
) -> tuple[Snapshot, Opened, State | None]:
    source = make_source(a, secrets=secrets, observe=steps)
    try:
        try:
            opened = source.open()
        except FetchError as e:
            steps.failed(e.message)
            raise
        keys = StreamKeys(namespace=a.namespace, stream=a.stream).connection(a.name)
        state = read_state(redis_target(redis, namespace=a.namespace), keys)
        if state and state.cluster_id != cluster_id:
            raise FetchError(
                "InvalidConfiguration",
                f"this Redis already holds connection {a.name} of another cluster (id {state.cluster_id}); "
                "use another Redis or another spec.queue.stream",
            )
        known = state and state.identity == a.identity and _is_current(state, opened)
        return (
            source.snapshot(state.cursor if state and known else "", known=lambda n: [False for _ in n], unseen=True),
            opened,
            state,
        )
    finally:
        source.close()


def _is_current(state: State, opened: Opened) -> bool:
    return not state.cursor or state.cursor.split(":")[0] == opened.uid_validity


def estimate(look: Snapshot, opened: Opened, state: State | None) -> Estimate:
    """What the counts mean (pure).

    Args:
        look: Counted beyond the checkpoint, or from the beginning if there is none.
        opened: The mailbox.
        state: The checkpoint of this mailbox, or None.
    """
    notes = []
    reset = state is not None and not _is_current(state, opened)
    if reset and state:
        notes.append(
            f"UIDVALIDITY changed from {state.cursor.split(':')[0]} to {opened.uid_validity}: "
            "all mails are counted as new, most of them are in the queue already"
        )
    elif not look.exact:
        notes.append("the server does not tell the exact number beyond the checkpoint")
    known = state is not None and bool(state.cursor)
    return Estimate(
        new_messages=look.new,
        total_messages=look.total,
        unseen_messages=max(look.unseen, 0),
        mailbox="Known" if known else "New",
        accuracy="VeryLow" if reset else "Exact" if look.exact else "Fair",
        confidence="Low" if reset else "High" if look.exact else "Medium",
        method="UidRange" if known and not reset else "Count",
        notes=tuple(notes),
    )


def run_probe_job() -> int:
    """The probe container: assignment from the environment, result to the termination message.

    Returns:
        0 also for a failed test, since the Job did its work; another number only if there is no result at all.
    """
    assignments = decode(os.environ["MAILFETCH_PROBE"])
    a, clock = assignments.connections[0], Clock()
    try:
        result = examine(
            a,
            cluster_id=assignments.cluster_id,
            secrets=Path(secrets.MOUNT),
            redis=Path(secrets.REDIS_MOUNT),
            clock=clock,
        )
    except Exception:
        log.exception("internal error")
        now = rfc3339(clock.now())
        text = "internal error in the probe; the log of its pod has the details, please report it"
        problem = Problem(reason="FetcherUnavailable", message=text, time=now)
        result = ProbeResult(uid=a.uid, fingerprint=fingerprint(a), time=now, problem=problem)
    message = contract.encode(result)
    log.info("probe finished", extra={"result": message.decode()})
    Path(contract.PATH).write_bytes(message)
    return 0
