"""The full `status` of a connection."""

from collections.abc import Mapping
from typing import Any

from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_operator.status import probing as probes
from mailfetch_operator.status.conditions import conditions
from mailfetch_operator.status.facts import Facts
from mailfetch_operator.status.ready import judge


def build_status(
    facts: Facts,
    *,
    mailbox: Mapping[str, str],
    estimate: Mapping[str, Any],
    handled: Mapping[str, str],
    fetcher: str,
) -> dict[str, Any]:
    """The status; sections with nothing in them are left out.

    Args:
        facts: What the checks look at.
        mailbox: `status.mailbox`.
        estimate: `status.estimate`: the newest, also if it is of an earlier assignment.
        handled: `status.handledRequests`.
        fetcher: Name of the fetcher that runs the connection, or empty.
    """
    before = facts.connection.status
    sections: dict[str, Any] = {
        "observedGeneration": facts.connection.generation,
        "conditions": conditions(facts, judge(facts)),
        "estimate": dict(estimate),
        "approval": facts.gate.to_status(),
        "probe": dict(probes.state_status(facts.probing, before.get("probe") or {})),
        "test": dict(probes.test_status(facts.probing, before.get("test") or {})),
        "mailbox": dict(mailbox),
        "fetch": fetch_status(facts),
        "progress": progress_status(facts),
        "notices": notices_status(facts),
        "placement": {"fetcher": fetcher} if fetcher else {},
        "handledRequests": dict(handled),
    }
    return {name: value for name, value in sections.items() if value or name == "observedGeneration"}


def fetch_status(facts: Facts) -> dict[str, Any]:
    """Counters and times, from the report; what a report does not know stays."""
    before: Mapping[str, Any] = facts.connection.status.get("fetch") or {}
    report = facts.report if facts.live else None
    if report is None:
        return dict(before)
    found = {name: before[name] for name in ("messages", "lag", *_SEQ, "quarantined") if name in before}
    if report.state_id:  # a session that only starts has not read its counters yet
        found = {"messages": report.messages} | ({"lag": found["lag"]} if "lag" in found else {})
        found |= _seq(facts, report, before)
        found |= {"quarantined": report.quarantined} if report.quarantined else {}
    if report.lag >= 0:
        found["lag"] = report.lag
    for name, time in (("lastMessageTime", report.last_message_time), ("lastSuccessTime", report.last_success_time)):
        if time := time or before.get(name, ""):
            found[name] = time
    if error := _last_error(report) or before.get("lastError"):
        found["lastError"] = error
    found["consecutiveFailures"] = report.failures
    return found


_SEQ = ("stateId", "seq", "highestSeq")


def _seq(facts: Facts, report: ConnectionReport, before: Mapping[str, Any]) -> dict[str, Any]:
    """How far the state in Redis is, and how far it was seen before if that was further.

    Counts of two states are never compared, and nothing is concluded while two pods report, of which one is old.
    """
    found: dict[str, Any] = {"stateId": report.state_id, "seq": report.seq}
    highest = max(known_seq(before, report.state_id), facts.world.report.highest)
    two_pods = facts.world.fetcher is not None and len(facts.world.fetcher.pods) > 1
    if not report.seq or (report.seq < highest and two_pods):
        return {name: before[name] for name in _SEQ if name in before}
    return found | ({"highestSeq": highest} if report.seq < highest else {})


def known_seq(fetched: Mapping[str, Any], state_id: str) -> int:
    """The highest `seq` that was seen of a state; 0: none, or only of another state."""
    if not state_id or fetched.get("stateId") != state_id:
        return 0
    return max(int(fetched.get("seq", 0)), int(fetched.get("highestSeq", 0)))


NOTICES = 5
"""Kept in the status."""


def notices_status(facts: Facts) -> list[dict[str, str]]:
    """The last things that people should know of, oldest first; each becomes an event when it appears here."""
    known: list[dict[str, str]] = list(facts.connection.status.get("notices") or ())
    report = facts.report if facts.live else None
    told = report.notices[-NOTICES:] if report else ()  # no more, or those that do not fit would come again and again
    found = ({"reason": n.reason, "message": n.message[:1024], "time": n.time} for n in told)
    return [*known, *(n for n in found if n not in known)][-NOTICES:]


def _last_error(report: ConnectionReport) -> dict[str, str]:
    problem = report.problem or report.last_problem
    if problem is None:
        return {}
    return {"reason": problem.reason, "message": problem.message[:1024], "time": problem.time}


def progress_status(facts: Facts) -> dict[str, Any]:
    """A backlog that is downloading."""
    progress = facts.report.progress if facts.report and facts.live else None
    if progress is None:
        return {}
    found: dict[str, Any] = {"done": progress.done, "total": progress.total, "perSecond": progress.per_second}
    if progress.expected_end:
        found["expectedEnd"] = progress.expected_end
    return found
