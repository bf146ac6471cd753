"""What a fetcher tells the operator: `GET /report?since=REV&wait=30` on its HTTP port.

The answer comes as soon as the fetcher's revision differs from `since`, at the latest after `wait` seconds.
Never mail data, never a secret. Times are RFC 3339 in UTC with whole seconds.
"""

from typing import Literal

import msgspec

from mailfetch_fetcher.contract.reasons import ActionReason, Gate, Reason
from mailfetch_fetcher.contract.struct import Struct

PORT = 8080
PATH = "/report"

Phase = Literal["Starting", "CatchingUp", "Listening", "Polling", "BackingOff", "Waiting"]
"""Listening: caught up, IDLE. Polling: caught up, interval. BackingOff: failed, will retry. Waiting: needs the gate."""


class Problem(Struct, frozen=True, kw_only=True):
    """A failure, decoded: what happened and what to change, without any secret."""

    reason: Reason
    message: str
    time: str


class ActionState(Struct, frozen=True, kw_only=True):
    """State of the after-download actions.

    `pending` counts the outbox, also what rightly waits (for `delay`, or a consumer's acknowledgement: reason Done).
    `unproven`: so many acknowledgements of this process's time could not be proven, so these mails stay untouched.
    """

    reason: ActionReason = "Done"
    message: str = ""
    pending: int = 0
    unproven: int = 0


class Progress(Struct, frozen=True, kw_only=True):
    """A backlog that is downloading."""

    done: int
    total: int
    per_second: int = 0
    expected_end: str = ""


NoticeReason = Literal["MailboxReset", "MailboxMoved", "StoreWentBack", "MailQuarantined", "RefetchRefused"]


class Notice(Struct, frozen=True, kw_only=True):
    """Something that happened once and that people should read of (a Kubernetes event), without any secret."""

    reason: NoticeReason
    message: str
    time: str


class ConnectionReport(Struct, frozen=True, kw_only=True):
    """One mailbox, now.

    Attributes:
        uid: UID of the object that this is about.
        generation: Generation of the assignment that runs.
        fingerprint: `assignment.fingerprint` of the assignment that runs.
        phase: What the session does.
        state_id: State in Redis, once it was created or read.
        seq: Counter of state transitions; falls only if the store went back.
        gate: Set when the session stopped because it needs a new approval; `gate_message` says why.
        problem: The last failure, while it lasts.
        last_problem: The last failure, also after it ended.
        failures: Consecutive failures.
        messages: Mails committed by this connection, ever.
        lag: Mails at the server that are not yet in the queue, as of the last look; -1: not known.
        insecure: The password travels unencrypted.
        requests: Requests that are done: name → value.
        quarantined: Mails in quarantine.
        notices: The last few, oldest first.
    """

    uid: str
    generation: int
    fingerprint: str
    phase: Phase
    state_id: str = ""
    gate_epoch: int = 0
    seq: int = 0
    identity: str = ""
    uid_validity: str = ""
    gate: Gate | None = None
    gate_message: str = ""
    problem: Problem | None = None
    last_problem: Problem | None = None
    failures: int = 0
    connected: bool = False
    messages: int = 0
    lag: int = -1
    last_message_time: str = ""
    last_success_time: str = ""
    actions: ActionState = ActionState()
    progress: Progress | None = None
    insecure: bool = False
    quarantined: int = 0
    notices: tuple[Notice, ...] = ()
    requests: dict[str, str] = msgspec.field(default_factory=dict)


class Report(Struct, frozen=True, kw_only=True):
    """All mailboxes of one fetcher process.

    Attributes:
        revision: Changes with every semantic change; unique per process (a restart never repeats one).
        fetcher: Pod name.
        version: Version of the fetcher.
        connections: By name of the MailConnection.
    """

    revision: str
    fetcher: str
    version: str
    connections: dict[str, ConnectionReport] = msgspec.field(default_factory=dict)


def encode(report: Report) -> bytes:
    """Compact JSON."""
    return msgspec.json.encode(report)


def decode(text: str | bytes) -> Report:
    """Reads a report.

    Raises:
        ValueError: the text is not a report.
    """
    try:
        return msgspec.json.decode(text, type=Report)
    except msgspec.DecodeError as e:
        raise ValueError(f"report: {e}") from e
