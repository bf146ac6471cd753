"""Events: the difference between two statuses, told so that `kubectl describe` reads as a story."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailfetch_operator.gate import WHY_CLOSED
from mailfetch_operator.model import EventPlan

_GOOD = frozenset({"Fetching", "Idle", "AwaitingApproval"})

MAX_NOTE = 1000


def events(previous: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[EventPlan, ...]:
    """What happened from one written status to the next; nothing if they are equal."""
    before, after = _reasons(previous), _reasons(new)
    tellers = (_switched, _tested, _gate, _flow, _store)
    return tuple(event for tell in tellers for event in tell(previous, new, before, after))


Reasons = Mapping[str, tuple[str, str, str]]
"""Condition type → status, reason, message."""


def _reasons(status: Mapping[str, Any]) -> Reasons:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status.get("conditions") or ()}


def _get(reasons: Reasons, kind: str) -> tuple[str, str, str]:
    return reasons.get(kind, ("", "", ""))


def _switched(_: object, __: object, before: Reasons, after: Reasons) -> Iterator[EventPlan]:
    """Enabled, disabled, suspended, resumed."""
    was, now = _get(before, "Ready")[1], _get(after, "Ready")[1]
    if was == now:
        return
    message = _get(after, "Ready")[2]
    if now == "Disabled" and was:
        yield _normal("Disabled", "Disable", message)
    elif now == "Suspended":
        yield _normal("Suspended", "Suspend", message)
    elif was == "Disabled" and now not in ("InvalidConfiguration", "Suspended"):
        yield _normal("Enabled", "Enable", "The connection was enabled.")
    elif was == "Suspended":
        yield _normal("Resumed", "Resume", "The connection is no longer suspended.")


def _tested(previous: Mapping[str, Any], new: Mapping[str, Any], *_: Reasons) -> Iterator[EventPlan]:
    """Tests and estimates."""
    test = new.get("test") or {}
    if test and test != previous.get("test"):
        if test["result"] == "Succeeded":
            yield _normal("Tested", "Test", "The connection was tested: all steps succeeded.")
        else:
            failed = next((s for s in test.get("steps", ()) if not s["ok"]), None)
            where = f" at step {failed['name']}: {failed['detail']}" if failed else "; the condition Ready says why"
            yield _warning("TestFailed", "Test", f"The test failed{where}.")
    estimate = new.get("estimate") or {}
    if estimate and estimate != previous.get("estimate"):
        note = f"{estimate['newMessages']} of {estimate['totalMessages']} mails are new"
        yield _normal("Estimated", "Estimate", f"{note} (confidence {estimate['confidence']}).")


def _gate(previous: Mapping[str, Any], new: Mapping[str, Any], before: Reasons, after: Reasons) -> Iterator[EventPlan]:
    """The gate opens, closes, or waits for people."""
    was, now = previous.get("approval") or {}, new.get("approval") or {}
    if now.get("source") and not (was.get("source") and was.get("epoch") == now.get("epoch")):
        yield _normal("Approved", "Approve", _get(after, "Approved")[2])
    if was.get("epoch", 1) < now.get("epoch", 1) and (why := WHY_CLOSED.get(now.get("reason", ""))):
        yield _warning("GateClosed", "CloseGate", f"{why} It needs a new approval (epoch {now['epoch']}).")
    _, reason, message = _get(after, "Ready")
    if reason == "AwaitingApproval" and (_get(before, "Ready")[1] != reason or _get(before, "Ready")[2] != message):
        yield _normal("AwaitingApproval", "Approve", message)


def _flow(previous: Mapping[str, Any], new: Mapping[str, Any], before: Reasons, after: Reasons) -> Iterator[EventPlan]:
    """Downloading starts, catches up, fails, recovers."""
    (was_status, was, _), (status, now, message) = _get(before, "Ready"), _get(after, "Ready")
    failed_before = was_status == "False" or was == "FetcherLost"
    if (status == "False" or now == "FetcherLost") and was != now:
        yield _warning(now, "Reconcile", message)
    elif failed_before and status == "True" and now in _GOOD:
        yield _normal("Recovered", "Reconcile", f"{was} is over.")
    if status != "True":
        return
    backlog_before, backlog = previous.get("progress"), new.get("progress")
    if backlog and not backlog_before:
        yield _normal("Fetching", "Fetch", f"A backlog of {backlog['total']} mails is being downloaded.")
    elif now == "Idle" and (backlog_before or was not in ("Idle", "Fetching")) and not failed_before:
        yield _normal("CaughtUp", "Fetch", message)


def _store(previous: Mapping[str, Any], new: Mapping[str, Any], before: Reasons, after: Reasons) -> Iterator[EventPlan]:
    """After-download actions fail, advice appears, Redis went back in time."""
    _, reason, message = _get(after, "AfterDownload")
    if reason in ("Failed", "StoreWentBack", "StoreUnsafe") and _get(before, "AfterDownload")[1] != reason:
        yield _warning(reason if reason != "Failed" else "AfterDownloadFailed", "AfterDownload", message)
    _, reason, message = _get(after, "Advisory")
    if reason and _get(before, "Advisory")[1] != reason:
        yield _warning(reason, "Advise", message)
    was, now = (s.get("mailbox") or {} for s in (previous, new))
    old, seq = ((s.get("fetch") or {}).get("seq", 0) for s in (previous, new))
    if seq < old and was.get("stateId") == now.get("stateId"):
        note = f"The state in Redis went back from {old} to {seq}: it lost writes or was restored from a copy."
        yield _warning("StoreWentBack", "Fetch", f"{note} Mails may be downloaded again; their entry ids are the same.")


def _normal(reason: str, action: str, note: str) -> EventPlan:
    return EventPlan(type="Normal", reason=reason, action=action, note=note[:MAX_NOTE])


def _warning(reason: str, action: str, note: str) -> EventPlan:
    return EventPlan(type="Warning", reason=reason, action=action, note=note[:MAX_NOTE])
