"""All conditions of a connection. Types and reasons are API: `docs/troubleshooting.md` explains each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from mailfetch_fetcher.contract.reasons import CONNECTION_REASONS
from mailfetch_fetcher.contract.report import ActionState
from mailfetch_fetcher.contract.spec import unsupported
from mailfetch_operator.gate import WHY_CLOSED, why_closed
from mailfetch_operator.status.advice import advice_on
from mailfetch_operator.status.facts import Facts
from mailfetch_operator.status.ready import Status, Verdict
from mailfetch_operator.status.times import rfc3339

MAX_MESSAGE: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A condition without its times."""

    type: str
    status: Status
    reason: str
    message: str


def check_ready(facts: Facts, verdict: Verdict) -> Condition:
    """The declared, permitted state is reached."""
    return Condition(type="Ready", status=verdict.ready, reason=verdict.reason, message=verdict.message)


def check_active(facts: Facts, verdict: Verdict) -> Condition:
    """Mail is flowing."""
    message = verdict.message
    if verdict.active == "True":
        message = "New mails are pushed by the server." if verdict.active_reason == "Listening" else "Polling."
    return Condition(type="Active", status=verdict.active, reason=verdict.active_reason, message=message)


def check_connection(facts: Facts, verdict: Verdict) -> Condition:
    """The mailbox can be reached: from the fetcher while one runs, else from the last probe, else as it was."""
    if facts.live and facts.gate.open:
        assert facts.report is not None
        problem, connected = facts.report.problem, facts.report.connected
    else:
        problem = facts.probing.problem
        result = facts.probing.result
        steps = result.steps if result else ()
        connected = any(s.name == "login" for s in steps) and all(s.ok for s in steps)
    if problem and problem.reason in CONNECTION_REASONS:
        return Condition(type="ConnectionVerified", status="False", reason=problem.reason, message=problem.message)
    if connected:
        message = "The login succeeded."
        return Condition(type="ConnectionVerified", status="True", reason="LoginSucceeded", message=message)
    before = facts.previous("ConnectionVerified")
    if before and before.get("observedGeneration") == facts.connection.generation:
        return Condition(**{k: before[k] for k in ("type", "status", "reason", "message")})
    message = f"Not tested yet. To test: {facts.command('mailfetch.dev/test', '1')}"
    if facts.connection.spec is None or unsupported(facts.spec):
        message = "Not tested: this version cannot run the spec."
    return Condition(type="ConnectionVerified", status="Unknown", reason="NotTested", message=message)


def check_approved(facts: Facts, verdict: Verdict) -> Condition:
    """The backlog may be downloaded."""
    gate = facts.gate
    if gate.open:
        acknowledged = gate.source == "Annotation"
        reason = "Acknowledged" if acknowledged else "WithinLimit"
        who = "acknowledged" if acknowledged else "within approval.maxMessages"
        message = f"A backlog of {gate.accepted} mails was {who} at {gate.accepted_at} (epoch {gate.epoch})."
        return Condition(type="Approved", status="True", reason=reason, message=message)
    reason = gate.reason if gate.reason in WHY_CLOSED else "Required"
    if reason == "Required" and facts.estimate and facts.estimate.get("confidence") == "Low":
        reason = "LowConfidence"
    if verdict.reason == "AwaitingApproval":
        return Condition(type="Approved", status="False", reason=reason, message=verdict.message)
    what = (
        "New mails are being counted." if verdict.reason == "Pending" else "New mails are counted before any download."
    )
    message = f"{why_closed(reason, gate.message)} {what}".strip()
    return Condition(type="Approved", status="False", reason=reason, message=message)


def check_after_download(facts: Facts, verdict: Verdict) -> Condition:
    """The actions in the mailbox are done."""
    kind = "AfterDownload"
    if facts.report and facts.live:
        actions = facts.report.actions
        if actions.reason == "Done":
            return Condition(type=kind, status="True", reason="Done", message=_done(actions))
        waiting = "Actions wait until their mails are durable."
        return Condition(type=kind, status="False", reason=actions.reason, message=actions.message or waiting)
    if before := facts.previous(kind):
        return Condition(**{k: before[k] for k in ("type", "status", "reason", "message")})
    return Condition(type=kind, status="Unknown", reason="Pending", message="Nothing was downloaded yet.")


def _done(actions: ActionState) -> str:
    """Actions that rightly wait are no failure."""
    if not actions.pending:
        return actions.message or "No action is waiting."
    many = f"{actions.pending} actions wait" if actions.pending > 1 else "1 action waits"
    return (
        actions.message or f"{many}, as spec.afterDownload asks (delay, or an acknowledgement of the consumer group)."
    )


def check_advisory(facts: Facts, verdict: Verdict) -> Condition | None:
    """Advice, the most important first."""
    advice = list(advice_on(facts))
    if not advice:
        return None
    message = " ".join(text for _, text in advice)
    return Condition(type="Advisory", status="True", reason=advice[0][0], message=message)


def check_reconciling(facts: Facts, verdict: Verdict) -> Condition | None:
    """Work is under way (kstatus: present only then)."""
    if not verdict.reconciling:
        return None
    return Condition(type="Reconciling", status="True", reason=verdict.reason, message=verdict.message)


def check_stalled(facts: Facts, verdict: Verdict) -> Condition | None:
    """Nothing will get better unless somebody changes something (kstatus: present only then)."""
    if not verdict.stalled:
        return None
    return Condition(type="Stalled", status="True", reason=verdict.reason, message=verdict.message)


CHECKS: tuple[Callable[[Facts, Verdict], Condition | None], ...] = (
    check_ready,
    check_active,
    check_connection,
    check_approved,
    check_after_download,
    check_advisory,
    check_reconciling,
    check_stalled,
)


def conditions(facts: Facts, verdict: Verdict) -> list[dict[str, Any]]:
    """All conditions as in `status.conditions`."""
    return list(_dated(facts, (found for check in CHECKS if (found := check(facts, verdict)))))


def _dated(facts: Facts, found: Iterable[Condition]) -> Iterator[dict[str, Any]]:
    """Adds the generation, and the time at which the status last changed."""
    for condition in found:
        before = facts.previous(condition.type)
        same = before.get("status") == condition.status and before.get("lastTransitionTime")
        yield {
            "type": condition.type,
            "status": condition.status,
            "reason": condition.reason,
            "message": _clip(condition.message),
            "observedGeneration": facts.connection.generation,
            "lastTransitionTime": before["lastTransitionTime"] if same else rfc3339(facts.world.now),
        }


def _clip(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
