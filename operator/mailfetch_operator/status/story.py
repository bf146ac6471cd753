"""Events: the difference between two statuses, told so that `kubectl describe` reads as a story."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailfetch_operator.gate import why_closed
from mailfetch_operator.model import EventPlan

_GOING = frozenset({"Purging", "PurgeFailed"})
"""States of a connection that was deleted."""
_GOOD = frozenset({"Fetching", "Idle", "AwaitingApproval"})

_HEALED = frozenset({"MailboxReset", "MailboxMoved"})
"""Notices of what the fetcher dealt with by itself."""

MAX_NOTE = 1000


def events(previous: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[EventPlan, ...]:
    """What happened from one written status to the next; nothing if they are equal."""
    before, after = _reasons(previous), _reasons(new)
    tellers = (_switched, _tested, _gate, _flow, _noticed, _store)
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
    elif now in _GOING:
        return
    elif was == "Disabled" and now != "InvalidConfiguration":
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
    why = why_closed(now.get("reason", ""), now.get("message", ""))
    if now.get("source") and not (was.get("source") and was.get("epoch") == now.get("epoch")):
        yield _normal("Approved", "Approve", _get(after, "Approved")[2])
    if was.get("epoch", 1) < now.get("epoch", 1) and why:
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


def _noticed(previous: Mapping[str, Any], new: Mapping[str, Any], *_: Reasons) -> Iterator[EventPlan]:
    """What the fetcher noticed. That the store went back is told by `_store`, once."""
    known = previous.get("notices") or ()
    for notice in new.get("notices") or ():
        if notice in known or notice["reason"] == "StoreWentBack":
            continue
        tell = _normal if notice["reason"] in _HEALED else _warning
        yield tell(notice["reason"], "Fetch", notice["message"])


def _store(previous: Mapping[str, Any], new: Mapping[str, Any], before: Reasons, after: Reasons) -> Iterator[EventPlan]:
    """After-download actions fail, advice appears, Redis went back in time."""
    _, reason, message = _get(after, "AfterDownload")
    changed = _get(before, "AfterDownload")[1] != reason
    if changed and reason in ("Failed", "StoreUnsafe"):
        yield _warning("AfterDownloadFailed" if reason == "Failed" else reason, "AfterDownload", message)
    if note := (message if changed and reason == "StoreWentBack" else _went_back(previous, new)):
        yield _warning("StoreWentBack", "Fetch", note)
    _, reason, message = _get(after, "Advisory")
    if reason and _get(before, "Advisory")[1] != reason:
        yield _warning(reason, "Advise", message)


def _went_back(previous: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """That the state in Redis lies behind what was seen, by the fetcher's words or by its count; empty: no news."""
    known = previous.get("notices") or ()
    said = [n for n in new.get("notices") or () if n not in known and n["reason"] == "StoreWentBack"]
    if said:
        return str(said[-1]["message"])
    before, after = previous.get("fetch") or {}, new.get("fetch") or {}
    highest, seq = after.get("highestSeq", 0), after.get("seq", 0)
    if highest <= before.get("highestSeq", 0) and (not highest or seq >= before.get("seq", 0)):
        return ""
    return (
        f"The state in Redis went back from {highest} to {seq}: it lost writes or was restored from a copy. Mails may "
        "be downloaded again; their entry ids are the same."
    )


def _normal(reason: str, action: str, note: str) -> EventPlan:
    return EventPlan(type="Normal", reason=reason, action=action, note=note[:MAX_NOTE])


def _warning(reason: str, action: str, note: str) -> EventPlan:
    return EventPlan(type="Warning", reason=reason, action=action, note=note[:MAX_NOTE])
