"""Ready and Active: an ordered tuple of checks, of which the first that finds something decides."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from mailfetch_fetcher.contract.reasons import Reason
from mailfetch_fetcher.contract.spec import unsupported
from mailfetch_operator import gate as gates
from mailfetch_operator import names
from mailfetch_operator.model import FetcherKey, Refusal
from mailfetch_operator.status.facts import LOST_AFTER, Facts

Status = Literal["True", "False", "Unknown"]

_WAITS_FOR_PEOPLE: Final[frozenset[Reason]] = frozenset(
    {
        "InvalidConfiguration",
        "SecretNotFound",
        "TLSFailed",
        "AuthFailed",
        "AuthorizationRequired",
        "FolderNotFound",
        "StoreUnsafe",
        "FetcherUnavailable",
    }
)
"""Failures that are not expected to pass by themselves (they are tried again all the same)."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The conditions Ready and Active, and whether Reconciling or Stalled stand beside them."""

    ready: Status
    reason: str
    message: str
    active: Status = "False"
    active_reason: str
    reconciling: bool = False
    stalled: bool = False


def check_removal(facts: Facts) -> Verdict | None:
    """Nobody deleted the connection (or its data in Redis stays)."""
    if facts.removal is None:
        return None
    message = facts.removal.message
    if facts.removal.failed:
        return Verdict(ready="False", reason="PurgeFailed", message=message, active_reason="Failing")
    return Verdict(ready="Unknown", reason="Purging", message=message, active_reason="Purging", reconciling=True)


def check_spec(facts: Facts) -> Verdict | None:
    """The spec can be read."""
    if facts.connection.spec is not None:
        return None
    return _invalid(f"The spec cannot be read: {facts.connection.spec_error}. Correct the manifest and apply it again.")


def check_supported(facts: Facts) -> Verdict | None:
    """This version can run the spec."""
    if not (missing := unsupported(facts.spec)):
        return None
    return _invalid(f"not in this version: {missing}. Nothing was touched; change the spec or use a later version.")


def check_enabled(facts: Facts) -> Verdict | None:
    """A person enabled the connection."""
    if facts.connection.enabled:
        return None
    value = facts.connection.annotations.get(names.ENABLE, "")
    odd = ""
    if value not in ("", "false"):
        odd = f'The annotation {names.ENABLE} is "{value[:20]}"; only "true" enables. '
    message = f"{odd}Disabled; nothing is downloaded. To enable: {facts.enable_command()}"
    return Verdict(ready="True", reason="Disabled", message=message, active_reason="Disabled")


def check_suspended(facts: Facts) -> Verdict | None:
    """The connection is not paused."""
    if not facts.spec.suspend:
        return None
    message = "Suspended by spec.suspend; nothing is downloaded. Set spec.suspend to false to go on."
    return Verdict(ready="True", reason="Suspended", message=message, active_reason="Suspended")


def check_probe(facts: Facts) -> Verdict | None:
    """While the gate is closed: the mails could be counted."""
    problem = None if facts.gate.open else facts.probing.problem
    if problem is None:
        return None
    return Verdict(ready="False", reason=problem.reason, message=problem.message, active_reason="Failing")


def check_estimate(facts: Facts) -> Verdict | None:
    """While the gate is closed: the mails are counted."""
    if facts.gate.open or (facts.estimate and not facts.recount):
        return None
    c = facts.connection
    look = f"kubectl -n {c.namespace} get jobs -l {names.CONNECTION_LABEL}={c.name}"
    message = f"The connection is being tested and its new mails are being counted. Look: {look}"
    return Verdict(
        ready="Unknown", reason="Pending", message=message, active_reason="AwaitingApproval", reconciling=True
    )


def check_approval(facts: Facts) -> Verdict | None:
    """The gate is open."""
    if facts.gate.open:
        return None
    message = approval_message(facts)
    return Verdict(ready="True", reason="AwaitingApproval", message=message, active_reason="AwaitingApproval")


def approval_message(facts: Facts) -> str:
    """What a person must do to open the gate; there is an estimate."""
    assert facts.estimate is not None
    why = gates.why_closed(facts.gate.reason, facts.gate.message)
    value = gates.required(facts.gate, facts.estimate)
    text = facts.connection.annotations.get(names.ACKNOWLEDGE, "")
    given = ""
    ack = gates.acknowledgement(facts.connection)
    if text and ack is None:
        given = f' {names.ACKNOWLEDGE} is "{text[:20]}", which is not a number or "any".'
    elif ack and ack.epoch != facts.gate.epoch:
        given = f' The acknowledgement "{text[:20]}" was for another approval.'
    elif ack:
        given = f' The acknowledgement "{text[:20]}" is too small.'
    new, limit = facts.estimate["newMessages"], facts.spec.approval.max_messages
    size = f"{new} new {'mail' if new == 1 else 'mails'}"
    if new > limit:
        size += f", more than approval.maxMessages ({limit})"
    if facts.estimate.get("confidence") == "Low":
        size += ", and the number is uncertain"
    return f"{why} {size}.{given} To accept: {facts.command(names.ACKNOWLEDGE, value)}".strip()


def check_placement(facts: Facts) -> Verdict | None:
    """There is room in a fetcher."""
    if not isinstance(facts.world.placement, Refusal):
        return None
    return Verdict(
        ready="False",
        reason="FetcherUnavailable",
        message=facts.world.placement.message,
        active_reason="Failing",
        stalled=True,
    )


def check_fetcher(facts: Facts) -> Verdict | None:
    """The fetcher runs, as far as Kubernetes knows."""
    key, view = facts.world.placement, facts.world.fetcher
    assert isinstance(key, FetcherKey)
    if view is None or not view.exists:
        return _pending(f"The fetcher {key.name} is being made.")
    if view.ready or not view.message:
        return None
    look = f"kubectl -n {key.namespace} describe pod -l {names.FETCHER_LABEL}={key.name}"
    message = f"The fetcher {key.name} does not run: {view.message[:300]}. Look: {look}"
    return Verdict(ready="False", reason="FetcherUnavailable", message=message, active_reason="Failing")


def check_contact(facts: Facts) -> Verdict | None:
    """The fetcher answers."""
    key, view = facts.world.placement, facts.world.fetcher
    assert isinstance(key, FetcherKey)
    if facts.age is None:
        if facts.world.uptime < LOST_AFTER and (kept := _as_before(facts)):
            return kept  # the operator was restarted, not the fetcher
        return _pending(f"The fetcher {key.name} {'has not reported yet' if view and view.ready else 'is starting'}.")
    if facts.age <= LOST_AFTER:
        return None
    look = f"kubectl -n {key.namespace} logs deployment/{key.name} --tail=50"
    message = f"The fetcher {key.name} has not answered for more than {LOST_AFTER:.0f} s. Look: {look}"
    return Verdict(ready="Unknown", reason="FetcherLost", message=message, active="Unknown", active_reason="Failing")


def check_current(facts: Facts) -> Verdict | None:
    """The fetcher runs what is declared now."""
    if facts.report is not None:
        return None
    view = facts.world.fetcher
    if facts.world.report.report is None and view and not view.ready and (kept := _as_before(facts)):
        return kept  # a new pod answers before it has read what it is to do
    return _pending("The fetcher is taking over the present settings.")


def check_problem(facts: Facts) -> Verdict | None:
    """The mailbox and the store work."""
    report = facts.report
    assert report is not None
    if report.problem is None:
        return None
    reason = report.problem.reason
    flows = report.phase in ("CatchingUp", "Listening", "Polling")
    stopped = "QueueFull" if reason == "QueueFull" else "Failing" if reason in _WAITS_FOR_PEOPLE else "BackingOff"
    return Verdict(
        ready="False",
        reason=reason,
        message=report.problem.message,
        active="True" if flows else "False",
        active_reason=_flow(facts) if flows else stopped,
    )


def check_started(facts: Facts) -> Verdict | None:
    """The mailbox was opened."""
    report = facts.report
    assert report is not None
    if report.phase in ("CatchingUp", "Listening", "Polling"):
        return None
    return _as_before(facts) or _pending("The mailbox is being opened.")


def check_fetching(facts: Facts) -> Verdict | None:
    """All mails were downloaded."""
    assert facts.report is not None
    if facts.report.phase != "CatchingUp":
        return None
    return Verdict(
        ready="True",
        reason="Fetching",
        message="New mails are being downloaded.",
        active="True",
        active_reason=_flow(facts),
    )


CHECKS: tuple[Callable[[Facts], Verdict | None], ...] = (
    check_removal,
    check_spec,
    check_supported,
    check_enabled,
    check_suspended,
    check_probe,
    check_estimate,
    check_approval,
    check_placement,
    check_fetcher,
    check_contact,
    check_current,
    check_problem,
    check_started,
    check_fetching,
)


def judge(facts: Facts) -> Verdict:
    """The first finding; without any, the connection is caught up."""
    for check in CHECKS:
        if verdict := check(facts):
            return verdict
    message = "All mails of the folder were downloaded; waiting for new ones."
    return Verdict(ready="True", reason="Idle", message=message, active="True", active_reason=_flow(facts))


def _invalid(message: str) -> Verdict:
    return Verdict(ready="False", reason="InvalidConfiguration", message=message, active_reason="Failing", stalled=True)


def _pending(message: str) -> Verdict:
    return Verdict(
        ready="Unknown",
        reason="Pending",
        message=message,
        active="Unknown",
        active_reason="BackingOff",
        reconciling=True,
    )


def _flow(facts: Facts) -> str:
    """How new mails are noticed. While a backlog downloads the fetcher does not say, so the last word stands."""
    if facts.report and facts.report.phase != "CatchingUp":
        return facts.report.phase
    before = facts.previous("Active").get("reason", "")
    return before if before in ("Listening", "Polling") else "Polling"


def _as_before(facts: Facts) -> Verdict | None:
    """The conditions as they were, if they were of a fetcher that ran this generation."""
    ready, active = facts.previous("Ready"), facts.previous("Active")
    ran = ready.get("reason") in ("Fetching", "Idle") or active.get("reason") in ("QueueFull", "Failing", "BackingOff")
    if not ran or ready.get("status") == "Unknown" or ready.get("observedGeneration") != facts.connection.generation:
        return None
    return Verdict(
        ready=ready["status"],
        reason=ready["reason"],
        message=ready["message"],
        active=active["status"],
        active_reason=active["reason"],
    )
