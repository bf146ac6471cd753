"""What a session hands to the store, and what it gets back."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from mailfetch_fetcher.sources.base import ActionKind

INLINE = 64 * 1024
"""Bytes: bodies up to this stand in the entry, larger ones in a blob."""

# The phases; the scripts take and purge_hold know the last two by their texts.
BASELINE: Final = "Baseline"
"""Phase of a state of which nothing was downloaded yet: `spec.backlog` is still to be carried out."""
STEADY: Final = "Steady"
"""Phase in which the cursor counts."""
RESET: Final = "Reset"
"""How a phase begins in which mails must be recognised anew before the cursor counts again: `Reset <what>`."""
PURGING: Final = "Purge"
"""Phase of a state whose keys are being removed: nothing goes on from it any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Who writes: a pod, and one life of one session in it. The same pod may take its own lease back at once.

    Attributes:
        pod_uid: UID of the pod (or another name that a restarted process keeps); no blanks.
        token: Random for each life of a session.
    """

    pod_uid: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def __str__(self) -> str:
        """The value of the lease, and `owner` of the state."""
        return f"{self.pod_uid} {self.token}"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuePolicy:
    """What a connection asks of its stream.

    Attributes:
        max_length: Most entries of the queue.
        consumer_groups: Named groups: an entry goes only when all of them (of all connections of the stream)
            acknowledged it; with none it never goes.
        queue_seconds: How long an acknowledged entry stays.
        log_seconds: How long a log line stays.
    """

    max_length: int = 100_000
    consumer_groups: tuple[str, ...] = ()
    queue_seconds: int = 7 * 86400
    log_seconds: int = 30 * 86400

    def groups_json(self) -> str:
        """The named groups as the stream's list of connections holds them."""
        return json.dumps(sorted(self.consumer_groups))


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """A body that was written before its commit, with a TTL that the commit takes away."""

    blob_id: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedAction:
    """The after-download action that the commit puts into the outbox with the mail."""

    kind: ActionKind
    folder: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """One mail to commit.

    Attributes:
        ref: Names the mail for ever, `<uidvalidity>/<uid>` for IMAP; the entry's id is made from it.
        uid_validity: UIDVALIDITY, for the outbox.
        uid: UID.
        folder: Folder it came from.
        identity: What recognises it after a reset; hashed with the state's key for ledger and outbox.
        body: The bytes, or the blob that holds them.
        size: Bytes of the body.
        sha256: Hexadecimal hash of the body.
        received: RFC 3339, or empty.
        flags: Flags separated by blanks.
        name: Its name for the ledger where mails have names (POP3, Graph): entered as it is, without an occurrence.
            Empty: the ledger holds `identity` with the next free occurrence.
        refetch: Value of the request that asked for it once more: another `id`, and no word in the ledger (unless its
            quarantine ends with this commit: then it was never in it).
    """

    ref: str
    uid_validity: str
    uid: int
    folder: str
    identity: bytes
    body: bytes | Blob
    size: int
    sha256: str
    message_id: str = ""
    sender: str = ""
    to: str = ""
    subject: str = ""
    date: str = ""
    received: str = ""
    flags: str = ""
    action: WantedAction | None = None
    name: bytes = b""
    refetch: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """One line of the Incoming Mail Log beyond the commit's own (see docs/consumers.md)."""

    step: str
    category: str = "Download"
    result: str = "Succeeded"
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantined:
    """A mail that is there and cannot be had; it is tried again by itself (`store.md` 38).

    Attributes:
        ref: `Ref.key`.
        uid: UID, or 0.
        size: Bytes, as far as known.
        kind: Unreadable, or TooLarge (tried again only when the limit allows it, or on request).
        detail: What the server said.
        since: First failure, seconds since 1970.
        attempts: Failures so far.
        retry: Not before this time, seconds since 1970.
        name: Its name for the ledger where mails have names: it counts as known from now on.
    """

    ref: str
    uid: int
    size: int
    kind: Literal["Unreadable", "TooLarge"]
    detail: str
    since: int
    attempts: int
    retry: int
    name: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What enters Redis in one atomic step; every part may be missing.

    Attributes:
        mails: Mails.
        cursor: The cursor behind them; None: it stays as it is.
        anchor: `<uid>:<digest>` of a mail up to the cursor. None: the last of `mails` if the cursor moves; without
            mails it stays, but a new phase clears it (the old one spoke of another UIDVALIDITY).
        log: Log lines beyond the commit's own.
        quarantine: Records that are put or replaced.
        released: Refs whose record goes.
        phase: New phase of the state: `BASELINE`, `STEADY`, or one that begins with `RESET`.
        gate_epoch: The approval that was used up by this.
        refetch: New value of the state's field (JSON of value and position).
        group_seen: New value of the state's field.
        staged: The staged ledger (`Mailbox.stage`) takes the place of the ledger.
        outbox: Members of the outbox that are replaced: old → new; an empty new one is dropped with a log line.
    """

    mails: Sequence[Mail] = ()
    cursor: str | None = None
    anchor: str | None = None
    log: Sequence[LogLine] = ()
    quarantine: Sequence[Quarantined] = ()
    released: Sequence[str] = ()
    phase: str | None = None
    gate_epoch: int | None = None
    refetch: str | None = None
    group_seen: str | None = None
    staged: bool = False
    outbox: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """The connection's state as read when the lease was taken.

    Attributes:
        state_id: Random, made by `create`.
        identity: Mailbox identity.
        cluster_id: Cluster that owns it.
        gate_epoch: Epoch under which it was created.
        epoch: Counts owners, for people; fencing compares the owner.
        seq: Counts state transitions.
        cursor: Opaque cursor; empty at the beginning.
        anchor: `<uid>:<fingerprint>` of the last committed mail, or empty.
        hash_key: Key of the ledger's hashes.
        messages: Mails ever committed (from `:stats`).
        phase: `BASELINE`, `STEADY`, `PURGING`, or one that begins with `RESET`.
        refetch: JSON of the last refetch request and how far it came, or empty.
        group_seen: JSON of what was last seen of the consumer group of `Acknowledged`, or empty.
        reset_approved: People approved again after the reset began: nothing more is asked.
        went_back: By how many transitions the store lies behind what was seen before (an older copy was restored, or
            a failover lost them); 0: it does not.
    """

    state_id: str
    identity: str
    cluster_id: str
    gate_epoch: int
    epoch: int
    seq: int
    cursor: str
    anchor: str
    hash_key: bytes
    messages: int = 0
    went_back: int = 0
    phase: str = STEADY
    refetch: str = ""
    group_seen: str = ""
    reset_approved: bool = False
