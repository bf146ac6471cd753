"""Tests a connection step by step and counts its new mails. Reads only: the mailbox and Redis stay as they are."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import msgspec

from mailfetch_fetcher.auth.tokens import Tokens
from mailfetch_fetcher.clock import Clock, rfc3339
from mailfetch_fetcher.connect import make_source
from mailfetch_fetcher.contract import mounts
from mailfetch_fetcher.contract import probe as contract
from mailfetch_fetcher.contract.assignment import Assignment, decode, fingerprint
from mailfetch_fetcher.contract.identity import mailbox_identity
from mailfetch_fetcher.contract.keys import StreamKeys
from mailfetch_fetcher.contract.probe import ProbeResult, Step, StepName, StoreState
from mailfetch_fetcher.contract.report import Problem
from mailfetch_fetcher.counting import audience_notes, count, limit_notes
from mailfetch_fetcher.environment import redis_target
from mailfetch_fetcher.errors import FetchError
from mailfetch_fetcher.moved import is_same
from mailfetch_fetcher.store.audience import read_audience
from mailfetch_fetcher.store.read import LedgerView, read_state
from mailfetch_fetcher.store.token import ReadToken

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
    """Tests the way to the mailbox, then counts against the checkpoint in Redis. Never raises `FetchError`.

    Args:
        a: The connection. Without an identity, as `kubectl mailfetch test -f` makes it, that of its spec.
        cluster_id: The cluster; empty if who asks does not know it: then a state of any cluster is read.
        secrets: Directory of the mounted Secrets.
        redis: Directory of the mounted Redis Secret.
        clock: The clock.
    """
    a = a if a.identity else msgspec.structs.replace(a, identity=mailbox_identity(a.spec))
    steps = Steps(clock)
    now = rfc3339(clock.now())
    result = ProbeResult(uid=a.uid, fingerprint=fingerprint(a), time=now)
    try:
        result = _look(a, result, steps, cluster_id=cluster_id, secrets=secrets, redis=redis, clock=clock)
    except FetchError as e:
        result = msgspec.structs.replace(result, problem=Problem(reason=e.reason, message=e.message, time=now))
    return msgspec.structs.replace(result, steps=tuple(steps.done))


def _look(
    a: Assignment, result: ProbeResult, steps: Steps, *, cluster_id: str, secrets: Path, redis: Path, clock: Clock
) -> ProbeResult:
    keys = StreamKeys(namespace=a.namespace, stream=a.stream).connection(a.name)
    rotated = ReadToken(partial(redis_target, redis, namespace=a.namespace), keys)
    source = make_source(a, secrets=secrets, tokens=Tokens(clock), rotated=rotated, observe=steps)
    try:
        try:
            opened = source.open()
        except FetchError as e:
            steps.failed(e.message)
            raise
        target = redis_target(redis, namespace=a.namespace)
        state = read_state(target, keys)
        if state and cluster_id and state.cluster_id != cluster_id:
            raise FetchError(
                "InvalidConfiguration",
                f"this Redis already holds connection {a.name} of another cluster (id {state.cluster_id}); "
                "use another Redis or another spec.queue.stream",
            )
        found = StoreState()
        if state is None:
            estimate = count(source, a, state=None, ledger=None)
        else:
            with LedgerView(target, keys, state) as ledger:
                moved = state.identity != a.identity and is_same(source, state, known=ledger.known)
                same = moved or state.identity == a.identity
                estimate = count(source, a, state=state if same else None, ledger=ledger)
            found = StoreState(state_id=state.state_id, same_mailbox=same, moved=moved, gate_epoch=state.gate_epoch)
        notes = (*estimate.notes, *limit_notes(source), *audience_notes(a, read_audience(target, keys.stream)))
        estimate = msgspec.structs.replace(estimate, notes=notes)
        return msgspec.structs.replace(result, estimate=estimate, state=found, uid_validity=opened.uid_validity)
    finally:
        source.close()


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
            secrets=Path(mounts.MOUNT),
            redis=Path(mounts.REDIS_MOUNT),
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
