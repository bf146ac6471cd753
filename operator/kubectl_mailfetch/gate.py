"""The gate as a person meets it: which acknowledgement is needed, and when an enabled connection has settled. Pure."""

import re

from kubectl_mailfetch.model import ACKNOWLEDGE, Connection

_ACKNOWLEDGEMENT = re.compile(r"(any|[0-9]{1,10})(?:/([0-9]{1,10}))?")

IN_MOTION = frozenset({"", "Disabled", "Pending", "FetcherLost", "FetcherUnavailable"})
"""States that are expected to pass by themselves shortly after enabling."""


def acknowledged(connection: Connection) -> int | None:
    """How many mails the annotation accepts under the present epoch; None: it says nothing; -1: any number."""
    match = _ACKNOWLEDGEMENT.fullmatch(connection.annotation(ACKNOWLEDGE).strip())
    if not match or int(match[2] or 1) != connection.epoch:
        return None
    return -1 if match[1] == "any" else int(match[1])


def acknowledgement_needed(connection: Connection) -> str | None:
    """The exact value that `mailfetch.dev/acknowledge` must have to open the gate, or None.

    None means that the gate is open, that nothing was counted yet, or that the backlog needs no acknowledgement.
    """
    estimate = connection.estimate
    if estimate is None or connection.condition("Approved").status == "True":
        return None
    accepted = acknowledged(connection)
    if accepted == -1:
        return None
    # A fetcher that did not recognise the mailbox left its words there: then even a small backlog needs one.
    unrecognised = connection.text("status", "approval", "message")
    reset = connection.text("status", "approval", "reason") == "MailboxReset"
    explicit = estimate.confidence == "Low" or reset or bool(unrecognised)
    if accepted is None and explicit:
        return acknowledgement(connection, estimate.new)
    if estimate.new - (accepted or 0) <= connection.max_messages:
        return None
    return acknowledgement(connection, estimate.new)


def acknowledgement(connection: Connection, messages: int) -> str:
    """The annotation's value for a number of mails under the present epoch."""
    return f"{messages}/{connection.epoch}" if connection.epoch > 1 else str(messages)


def settled(connection: Connection) -> bool:
    """Whether waiting longer after enabling would tell nothing new."""
    if connection.condition("Active").status == "True":
        return True
    reason = connection.ready.reason
    if reason == "AwaitingApproval":
        return acknowledgement_needed(connection) is not None
    return reason not in IN_MOTION
