"""Status economy: what people act on is written at once, counters at most once a minute, mere times never alone.

`seq` alone is written at most once an hour: it moves with every step, and it is only for noticing that Redis went back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

EVERY = 60.0
"""Seconds between two writes that only bring new counters."""
SEQ_EVERY = 3600.0
"""Seconds without a write after which a new `seq` is reason enough for one."""

_FLOWING = frozenset({"Fetching", "Idle"})
_ACTIONS = frozenset({"Done", "Pending"})


@dataclass(frozen=True, kw_only=True)
class Coarse:
    """The status to write, and when to look again if something was held back."""

    status: dict[str, Any]
    again_in: float | None = None


def coarsen(
    previous: Mapping[str, Any], desired: dict[str, Any], *, now: datetime, last_written: datetime | None
) -> Coarse:
    """Returns `previous` itself where nothing is to be written."""
    if _meaning(previous) != _meaning(desired):
        return Coarse(status=desired)
    age = (now - last_written).total_seconds() if last_written else None
    if _counters(previous) == _counters(desired):
        due = _seq(previous) != _seq(desired) and age is not None and age >= SEQ_EVERY
        return Coarse(status=desired if due else dict(previous))
    wait = EVERY - age if age is not None else 0.0
    if wait <= 0:
        return Coarse(status=desired)
    return Coarse(status=dict(previous), again_in=wait)


def _meaning(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status without counters and times. One mail that arrives is a counter too, a backlog is not."""
    found = {k: v for k, v in status.items() if k not in ("fetch", "progress", "conditions")}
    found["backlog"] = "progress" in status
    error = (status.get("fetch") or {}).get("lastError") or {}
    found["error"] = (error.get("reason"), error.get("message"))
    found["went back"] = (status.get("fetch") or {}).get("highestSeq")
    found["conditions"] = [_condition(c) for c in status.get("conditions") or ()]
    return found


def _condition(condition: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in condition.items() if k != "lastTransitionTime"}
    kind, status, reason = kept.get("type"), kept.get("status"), kept.get("reason")
    flows = kind == "Ready" and status == "True" and reason in _FLOWING
    acts = kind == "AfterDownload" and status != "Unknown" and reason in _ACTIONS
    if flows or acts:
        return {"type": kind, "observedGeneration": kept.get("observedGeneration"), "reason": "flowing"}
    return kept


def _counters(status: Mapping[str, Any]) -> dict[str, Any]:
    """What changes while mail flows; times count only while it fails."""
    fetch: Mapping[str, Any] = status.get("fetch") or {}
    failing = bool(fetch.get("consecutiveFailures"))
    found = {k: v for k, v in fetch.items() if k != "seq" and (failing or not k.endswith("Time"))}
    error = dict(fetch.get("lastError") or {})
    if not failing:
        error.pop("time", None)
    found["lastError"] = error
    found["progress"] = status.get("progress")
    found["conditions"] = [_told(c) for c in status.get("conditions") or ()]
    return found


def _told(condition: Mapping[str, Any]) -> tuple[object, ...]:
    """The message of AfterDownload counts what waits."""
    message = condition.get("message") if condition.get("type") == "AfterDownload" else ""
    return condition.get("type"), condition.get("status"), condition.get("reason"), message


def _seq(status: Mapping[str, Any]) -> object:
    return (status.get("fetch") or {}).get("seq")
