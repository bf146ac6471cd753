"""Probe Jobs: what the ended ones found, and whether another one is wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mailfetch_fetcher.contract.probe import ProbeResult
from mailfetch_fetcher.contract.report import Problem
from mailfetch_operator import names
from mailfetch_operator.model import Connection, ProbeView

_BACKOFF = (10.0, 60.0)
_REFUSED = frozenset({"AuthFailed", "AuthorizationRequired", "Throttled"})
_REFUSED_LAST = 480.0
"""A login that is refused again and again locks the account, or has the server ban the cluster's address, and with it
every other mailbox there. Less than the life of an ended Job (`TTL_SECONDS`), or the count would begin anew."""
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Probing:
    """The probe Jobs of one assignment.

    Attributes:
        ended: The newest one that ended.
        running: One that did not end yet.
        handled: Requests that were answered: name → value.
        obsolete: Jobs to delete: they still run for another assignment, or a newer one ended.
        serial: For the next Job.
    """

    ended: ProbeView | None = None
    running: ProbeView | None = None
    handled: Mapping[str, str]
    obsolete: tuple[str, ...] = ()
    serial: int = 0

    @property
    def result(self) -> ProbeResult | None:
        """What the newest ended Job found, if it found anything."""
        return self.ended.result if self.ended else None

    @property
    def succeeded(self) -> bool:
        """Whether the newest ended Job counted the mails. As long as it exists, its count is fresh (TTL)."""
        return bool(self.result and self.result.estimate and not self.result.problem)

    @property
    def problem(self) -> Problem | None:
        """Why no mails could be counted: from the newest ended Job, else from one that does not start."""
        if self.succeeded:
            return None
        if self.result and self.result.problem:
            return self.result.problem
        view = self.ended or self.running
        if view is None or not (self.ended or view.problem):
            return None
        why = view.problem or "it ended without a result"
        text = f"The probe Job {view.job_name} failed: {why}; kubectl logs job/{view.job_name} tells more"
        return Problem(reason="FetcherUnavailable", message=text, time="")


def select(probes: Sequence[ProbeView], fingerprint: str) -> Probing:
    """Sorts the Jobs of a connection out."""
    mine = sorted((p for p in probes if p.fingerprint == fingerprint), key=_order)
    ended = [p for p in mine if p.state != "running"]
    running = [p for p in mine if p.state == "running"]
    obsolete = [p for p in probes if p.fingerprint != fingerprint and p.state == "running"]
    return Probing(
        ended=ended[-1] if ended else None,
        running=running[-1] if running else None,
        handled={name: value for p in ended for name, value in p.requests.items()},
        obsolete=tuple(p.job_name for p in (*obsolete, *ended[:-1], *running[:-1])),
        serial=mine[-1].serial + 1 if mine else 0,
    )


def _order(probe: ProbeView) -> tuple[int, datetime]:
    return probe.serial, probe.finished_at or _LONG_AGO


def requests(connection: Connection, probing: Probing) -> dict[names.Request, str]:
    """Requests that no ended Job has answered yet: name → value."""
    pending = {name: connection.pending(name) for name in names.PROBE_REQUESTS}
    return {name: value for name, value in pending.items() if value and probing.handled.get(name) != value}


def retry_in(probing: Probing, *, now: datetime) -> float:
    """Seconds until a failed probe is tried again; 0: now."""
    if probing.ended is None:
        return 0.0
    refused = probing.problem is not None and probing.problem.reason in _REFUSED
    pause = min(_REFUSED_LAST if refused else _BACKOFF[1], _BACKOFF[0] * 2.0 ** min(probing.ended.serial, 10))
    due = (probing.ended.finished_at or now) + timedelta(seconds=pause)
    return max(0.0, (due - now).total_seconds())


def estimate_status(result: ProbeResult, fingerprint: str) -> dict[str, Any]:
    """As `status.estimate`; the result must have one."""
    e = result.estimate
    assert e is not None
    found: dict[str, Any] = {
        "newMessages": e.new_messages,
        "totalMessages": e.total_messages,
        "unseenMessages": e.unseen_messages,
        "mailbox": e.mailbox,
        "accuracy": e.accuracy,
        "confidence": e.confidence,
        "checkedAt": result.time,
        "fingerprint": fingerprint,
    }
    if e.method:
        found["method"] = e.method[:64]
    if e.notes:
        found["notes"] = [note[:512] for note in e.notes[:16]]
    return found


def test_status(probing: Probing, previous: Mapping[str, Any]) -> Mapping[str, Any]:
    """As `status.test`. A test that says the same as the one before is no news, whatever its times are."""
    if probing.ended is None:
        return previous
    result = probing.result
    found: dict[str, Any] = {"result": "Failed" if result is None or probing.problem else "Succeeded"}
    if request := probing.ended.requests.get("test") or previous.get("request", ""):
        found["request"] = request
    if result:
        found["testedAt"] = result.time
        found["steps"] = [
            {"name": s.name, "ok": s.ok, "detail": s.detail[:1024], "milliseconds": s.milliseconds}
            for s in result.steps
        ]
    return previous if _gist(found) == _gist(previous) else found


def _gist(test: Mapping[str, Any]) -> tuple[object, ...]:
    steps = test.get("steps") or ()
    return test.get("result"), test.get("request"), tuple((s["name"], s["ok"], s["ok"] or s["detail"]) for s in steps)


def state_status(probing: Probing, previous: Mapping[str, Any]) -> Mapping[str, Any]:
    """As `status.probe`: what was found in Redis."""
    result = probing.result
    if result is None or result.state is None or probing.ended is None:
        return previous
    found = {
        "fingerprint": probing.ended.fingerprint,
        "uid": result.uid,
        "stateId": result.state.state_id,
        "sameMailbox": result.state.same_mailbox,
        "gateEpoch": result.state.gate_epoch,
        "moved": result.state.moved,
    }
    unchanged = {k: v for k, v in previous.items() if k != "checkedAt"} == found
    return previous if unchanged else found | {"checkedAt": result.time}
