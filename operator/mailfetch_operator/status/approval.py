"""The gate's round: what object, report and probes say about the approval, and whether it opens now."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from mailfetch_fetcher.contract.assignment import Assignment, fingerprint
from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_operator import gate as gates
from mailfetch_operator.gate import Gate
from mailfetch_operator.model import Connection, World
from mailfetch_operator.status.probing import Probing, estimate_status, select


@dataclass(frozen=True, kw_only=True)
class Approval:
    """The outcome.

    Attributes:
        assignment: The connection under this gate, without requests; handed to a fetcher only if the gate is open.
        mailbox: `status.mailbox`.
        estimate: `status.estimate`, maybe of an earlier assignment.
        seen: The probe Jobs that were looked at.
        following: The probe Jobs of `assignment`; another one than `seen` if a probe made the epoch rise.
        wanted: The gate is closed and somebody wants it open.
        recount: The estimate is of this assignment, but too old for a decision that it would bring.
    """

    gate: Gate
    assignment: Assignment
    mailbox: Mapping[str, str]
    estimate: Mapping[str, Any]
    seen: Probing
    following: Probing
    wanted: bool = False
    recount: bool = False

    @property
    def current(self) -> Mapping[str, Any] | None:
        """The estimate, if it is of this assignment."""
        return self.estimate if self.estimate.get("fingerprint") == fingerprint(self.assignment) else None


def approve(connection: Connection, world: World) -> Approval:
    """Plays one round. Whatever closes the gate comes first; it opens last, and only by a probe that is fresh."""
    before = gates.read(connection)
    gate = gates.check_object(before, connection)
    if gate.open:
        report = report_on(build_assignment(connection, gate, _mailbox(connection)), world)
        if report and (reason := report.gate or _made_anew(connection, report)):
            gate = gates.close(gate, reason, report.gate_message)
    new_state = gate.epoch != before.epoch and gate.reason in gates.NEW_STATE
    mailbox = {"identity": connection.identity} if new_state else _mailbox(connection)
    assignment = build_assignment(connection, gate, mailbox)
    seen = select(world.probes, fingerprint(assignment))
    estimate: Mapping[str, Any] = connection.status.get("estimate") or {}
    if not gate.open:
        gate, seen = _distrust(gate, seen)
    if seen.result and seen.result.estimate:
        estimate = estimate_status(seen.result, fingerprint(assignment))
    if not gate.open:
        gate, mailbox = _compare(connection, gate, mailbox, seen)
    following = seen
    if gate.epoch != assignment.gate_epoch:  # the probe found another state than people knew of: count anew
        assignment = build_assignment(connection, gate, mailbox)
        following = select(world.probes, fingerprint(assignment))
    wanted = connection.enabled and connection.spec is not None and not connection.spec.suspend
    # Never in the round in which a probe made the epoch rise: `estimate` is of the epoch before. After a crash the next
    # probe may have ended already; what it found is compared and counted in the next round.
    if wanted and following is seen and seen.succeeded:
        gate = gates.decide(gate, connection, estimate, now=world.now)
    approval = Approval(
        gate=gate,
        assignment=build_assignment(connection, gate, mailbox),
        mailbox=mailbox,
        estimate=estimate,
        seen=seen,
        following=following,
        wanted=wanted and not gate.open,
    )
    return _with_recount(approval, connection, world)


def build_assignment(connection: Connection, gate: Gate, mailbox: Mapping[str, str]) -> Assignment:
    """The connection as its fetcher or probe gets it, without requests."""
    assert connection.spec is not None
    return Assignment(
        namespace=connection.namespace,
        name=connection.name,
        uid=connection.uid,
        generation=connection.generation,
        spec=connection.spec,
        identity=connection.identity,
        gate_epoch=gate.epoch,
        state_id=mailbox.get("stateId", ""),
    )


def report_on(assignment: Assignment, world: World) -> ConnectionReport | None:
    """What the fetcher says about exactly this assignment; a word about an earlier one does not count."""
    report = world.report.report
    if report and report.uid == assignment.uid and report.fingerprint == fingerprint(assignment):
        return report
    return None


def _made_anew(connection: Connection, report: ConnectionReport) -> Literal["StateLost", ""]:
    """Whether a fetcher made a second state under one approval.

    It may have lost the first before it was told that there was one. What it downloads then was downloaded before.
    """
    known = _mailbox(connection).get("stateId", "")
    return "StateLost" if known and report.state_id and report.state_id != known else ""


def _mailbox(connection: Connection) -> dict[str, str]:
    """`status.mailbox`, as far as it is about the mailbox of the spec."""
    known: Mapping[str, str] = connection.status.get("mailbox") or {}
    return dict(known) if known.get("identity") == connection.identity else {"identity": connection.identity}


def _distrust(gate: Gate, seen: Probing) -> tuple[Gate, Probing]:
    """For a gate that a fetcher closed because it did not recognise the mailbox.

    If a probe recognises it all the same, people decide about the whole mailbox, or the gate would open and close for
    ever. If the state is that of the address itself, it was set back, and the fetcher spoke of another one.
    """
    if not gate.unrecognised or seen.ended is None or seen.result is None or seen.result.state is None:
        return gate, seen
    result, state = seen.result, seen.result.state
    if not state.moved:
        return (replace(gate, message="") if state.state_id and state.same_mailbox else gate), seen
    estimate = result.estimate
    if estimate:
        estimate = msgspec.structs.replace(estimate, new_messages=estimate.total_messages, mailbox="New")
    state = msgspec.structs.replace(state, same_mailbox=False, moved=False)
    result = msgspec.structs.replace(result, estimate=estimate, state=state)
    return gate, replace(seen, ended=replace(seen.ended, result=result))


def _compare(connection: Connection, gate: Gate, mailbox: dict[str, str], seen: Probing) -> tuple[Gate, dict[str, str]]:
    """For a closed gate: what the probe found in Redis against what was known."""
    if seen.result is None or seen.result.state is None:
        return gate, mailbox
    state = seen.result.state
    compared = gates.check_state(gate, state, known=mailbox.get("stateId", ""))
    if compared != gate or (state.state_id and not state.same_mailbox):
        return compared, {"identity": connection.identity}
    found = {"stateId": state.state_id, "uidValidity": seen.result.uid_validity}
    return gate, mailbox | {k: v for k, v in found.items() if v}


def _with_recount(approval: Approval, connection: Connection, world: World) -> Approval:
    """An estimate without its Job is old: before it opens anything, and after enabling, it is made anew."""
    estimate = approval.current
    if not approval.wanted or approval.following.succeeded or estimate is None:
        return approval
    running = approval.following.running
    recount = (
        _was_off(connection)
        or gates.decide(approval.gate, connection, estimate, now=world.now).open
        or (running is not None and not running.requests)
    )
    return replace(approval, recount=recount)


def _was_off(connection: Connection) -> bool:
    """Whether the last status was that of a disabled or suspended connection."""
    conditions = connection.status.get("conditions") or ()
    return any(c["type"] == "Ready" and c["reason"] in ("Disabled", "Suspended") for c in conditions)
