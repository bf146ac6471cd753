"""The gate: whether a connection may download its backlog, and under which epoch that was approved.

A closed gate opens by a fresh estimate. An open gate closes only for a reason, and then the epoch rises, so that an
acknowledgement that lies in git cannot approve a different flood. Pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from mailfetch_fetcher.contract.probe import StoreState
from mailfetch_operator import names
from mailfetch_operator.model import Connection
from mailfetch_operator.status.times import rfc3339

Source = Literal["Annotation", "WithinLimit"]

MAX_MESSAGE = 512

_ACKNOWLEDGEMENT = re.compile(r"(any|[0-9]{1,10})(?:/([0-9]{1,10}))?")

NEW_STATE = frozenset({"StateLost", "IdentityChanged"})
"""Reasons after which the state that was known must not be asked for again: approving means a new one."""

_TOLD = frozenset({"MailboxReset", "IdentityChanged"})
"""Reasons that keep the fetcher's words. It looked at the mailbox and did not recognise it, so only an acknowledgement
opens the gate: what a probe counts as new, since it recognised more, is not what would be downloaded."""

WHY_CLOSED = {
    "StateLost": "Redis no longer holds the state of this mailbox, so mails would be downloaded again.",
    "IdentityChanged": "Another mailbox (protocol, host, user or folder) than the one that was approved.",
    "MailboxReset": "The server numbered or renamed its mails, and too many cannot be recognised as downloaded before.",
}
"""Why an approval ended; the reason of the condition Approved until there is a new one."""


def why_closed(reason: str, message: str) -> str:
    """The same for people, with the fetcher's own words; empty if there is no such reason."""
    return f"{WHY_CLOSED[reason]} {message}".strip() if reason in WHY_CLOSED else ""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """`status.approval`.

    Attributes:
        reason: Why the epoch rose last: Disabled, StateLost, IdentityChanged, MailboxReset; empty in the first.
        message: What the fetcher said about that, if it did not recognise the mailbox.
        identity: Mailbox that the approval is for; empty while the gate is closed. So are the fields below.
        accepted: Size of the backlog that was approved.
    """

    epoch: int = 1
    reason: str = ""
    message: str = ""
    identity: str = ""
    source: Source | Literal[""] = ""
    accepted: int = 0
    accepted_at: str = ""

    @property
    def open(self) -> bool:
        """Whether downloading is approved."""
        return bool(self.source)

    @property
    def unrecognised(self) -> bool:
        """Whether a fetcher did not recognise the mailbox at its address: no state goes on there by itself."""
        return self.reason == "IdentityChanged" and bool(self.message)

    @property
    def explicit(self) -> bool:
        """Whether only an acknowledgement opens it."""
        return self.unrecognised or self.reason == "MailboxReset"

    def to_status(self) -> dict[str, Any]:
        """As `status.approval`."""
        found: dict[str, Any] = {"epoch": self.epoch}
        if self.reason:
            found["reason"] = self.reason
        if self.message:
            found["message"] = self.message
        if self.open:
            found |= {
                "identity": self.identity,
                "acceptedMessages": self.accepted,
                "source": self.source,
                "acceptedAt": self.accepted_at,
            }
        return found


def read(connection: Connection) -> Gate:
    """The gate as the last plan left it."""
    found: Mapping[str, Any] = connection.status.get("approval") or {}
    gate = Gate(epoch=max(1, found.get("epoch", 1)), reason=found.get("reason", ""), message=found.get("message", ""))
    if found.get("source") not in ("Annotation", "WithinLimit") or not found.get("acceptedAt"):
        return gate
    return replace(
        gate,
        identity=found.get("identity", ""),
        source=found["source"],
        accepted=found.get("acceptedMessages", 0),
        accepted_at=found["acceptedAt"],
    )


def close(gate: Gate, reason: str, message: str = "") -> Gate:
    """Closes an open gate: the epoch rises. A closed one stays as it is."""
    if not gate.open:
        return gate
    return Gate(epoch=gate.epoch + 1, reason=reason, message=message[:MAX_MESSAGE] if reason in _TOLD else "")


def check_object(gate: Gate, connection: Connection) -> Gate:
    """Closes the gate if the object itself says so: another mailbox than was approved, or disabled."""
    if gate.identity != connection.identity:
        gate = close(gate, "IdentityChanged")
    return gate if connection.enabled else close(gate, "Disabled")


def check_state(gate: Gate, state: StoreState, *, known: str) -> Gate:
    """What a probe found in Redis, for a closed gate; `known` is the state id that was seen before.

    A fetcher puts the state of another mailbox aside only for a greater epoch than that state's, so the epoch
    rises above it. A state that is gone is another flood than the one that people may have approved meanwhile.
    """
    if gate.open:
        return gate
    if state.state_id and not state.same_mailbox:
        above = state.gate_epoch + 1
        told = gate.message if gate.unrecognised else ""
        return Gate(epoch=above, reason="IdentityChanged", message=told) if above > gate.epoch else gate
    if known and state.state_id != known:
        return Gate(epoch=gate.epoch + 1, reason="StateLost")
    return gate


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """The annotation `mailfetch.dev/acknowledge`; `count` is None for `any`."""

    count: int | None
    epoch: int

    def value(self) -> str:
        """As people write it."""
        text = "any" if self.count is None else str(self.count)
        return f"{text}/{self.epoch}" if self.epoch > 1 else text


def acknowledgement(connection: Connection) -> Acknowledgement | None:
    """What the annotation says, or None if it is absent or cannot be understood."""
    match = _ACKNOWLEDGEMENT.fullmatch(connection.annotations.get(names.ACKNOWLEDGE, "").strip())
    if not match:
        return None
    return Acknowledgement(count=None if match[1] == "any" else int(match[1]), epoch=int(match[2] or 1))


def decide(gate: Gate, connection: Connection, estimate: Mapping[str, Any], *, now: datetime) -> Gate:
    """Opens a closed gate if `estimate` (as in `status.estimate`) allows it."""
    if gate.open or connection.spec is None:
        return gate
    new: int = estimate["newMessages"]
    limit = connection.spec.approval.max_messages
    ack = acknowledgement(connection)
    if ack and ack.epoch != gate.epoch:
        ack = None  # given for another flood
    source: Source
    if new <= limit and estimate.get("confidence") != "Low" and not gate.explicit:
        source, accepted = "WithinLimit", new
    elif ack and (ack.count is None or new - ack.count <= limit):
        source, accepted = "Annotation", new if ack.count is None else ack.count
    else:
        return gate
    return replace(gate, identity=connection.identity, source=source, accepted=accepted, accepted_at=rfc3339(now))


def required(gate: Gate, estimate: Mapping[str, Any]) -> str:
    """The value of the annotation that opens the gate for this estimate."""
    return Acknowledgement(count=estimate["newMessages"], epoch=gate.epoch).value()
