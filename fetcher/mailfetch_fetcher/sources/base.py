"""The `Source` protocol: what a session needs from a mailbox, whatever the protocol.

A source owns one connection to one mailbox. It never touches the store and never changes a mailbox except in
`finish`. Any method may raise `SourceError`; after that the source is closed and a new one is made.
Cursors are opaque texts: the source makes and reads them, the store only keeps them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

ActionKind = Literal["MarkSeen", "Delete", "Move"]
ActionPhase = Literal["pending", "copying", "copied"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """What is known right after the mailbox was selected.

    Attributes:
        uid_validity: UIDVALIDITY as a decimal text (RFC 9051 section 2.3.1.1).
        insecure: The password travelled unencrypted.
        can_push: The server offers IDLE (RFC 2177).
    """

    uid_validity: str
    insecure: bool
    can_push: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A cheap look: is anything new?

    Attributes:
        new: Mails beyond the cursor.
        total: Mails in the folder.
        unseen: Mails without the flag Seen; -1 if it was not asked for.
        exact: `new` is the exact number.
    """

    new: int
    total: int
    unseen: int
    exact: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Ref:
    """One mail at the server. `key` names it for ever: for IMAP `<uidvalidity>/<uid>`. `size` is a hint only."""

    key: str
    uid: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The next new mails, in stable order; once all of them are committed the cursor is `cursor`."""

    refs: tuple[Ref, ...]
    cursor: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """A downloaded mail.

    Attributes:
        ref: Which mail.
        cursor: The cursor once this mail, and all before it, are committed.
        raw: The whole mail byte for byte, or None if it is large: then `parts` gives it in pieces.
        parts: The pieces of a large mail, to be read at once and to the end, before the next message is asked for.
        flags: Flags as the server wrote them, without Recent.
        received: INTERNALDATE in seconds since 1970 (UTC), or None if the server gave none that can be read.
        identity: What recognises this mail after UIDVALIDITY changed (`store.md` 33): EMAILID, else Message-ID with
            INTERNALDATE and RFC822.SIZE, else the whole header. Never empty.
    """

    ref: Ref
    cursor: str
    raw: bytes | None
    parts: Iterator[bytes] | None
    flags: tuple[str, ...]
    received: int | None
    identity: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """A mail that was discovered and is proven to be gone (a later look for it found nothing)."""

    ref: Ref
    cursor: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A mail that is there and that the server does not give out: the cursor must not pass it.

    `too_large` is its size in bytes if that is why it was not read (larger than maxMessageSize), else 0.
    """

    ref: Ref
    detail: str
    too_large: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingAction:
    """One after-download action of the outbox; its mail is durable in the store.

    Attributes:
        uid_validity: UIDVALIDITY of the session that downloaded it.
        uid: UID of the mail.
        fingerprint: `digest(identity)` of the mail, in hexadecimal.
        kind: What to do.
        folder: Target of Move, else empty.
        phase: How far a copy-and-delete came before.
        entry: Id of the queue entry.
        member: The exact text in the outbox, for removing it.
        same_session: Downloaded by this very session, so the fingerprint need not be compared again.
    """

    uid_validity: str
    uid: int
    fingerprint: str
    kind: ActionKind
    folder: str
    phase: ActionPhase
    entry: str
    member: str
    same_session: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of an action.

    Attributes:
        action: The action.
        result: `done`: carried out (or the mail no longer exists); `dropped`: it must never be carried out (another
            UIDVALIDITY, another mail under this UID); `failed`: it stays pending and is tried again later.
        detail: Why it was dropped or failed.
    """

    action: PendingAction
    result: Literal["done", "dropped", "failed"]
    detail: str = ""


class Source(Protocol):
    """One connection to one mailbox."""

    def open(self) -> Opened:
        """Connects, encrypts, logs in and opens the folder (read-write only if actions need it)."""
        ...

    def snapshot(self, cursor: str, *, unseen: bool = False) -> Snapshot:
        """Counts without downloading; an empty cursor is the beginning. Few round trips; `unseen` costs another."""
        ...

    def discover(self, cursor: str) -> Iterator[Window]:
        """Walks what lies beyond the cursor; memory is bounded by the window, not by the mailbox.

        Raises:
            GateClosed: the cursor belongs to another UIDVALIDITY (MailboxReset).
        """
        ...

    def fetch(self, refs: Sequence[Ref]) -> Iterator[Message | Absent | Unreadable]:
        """The mails of `refs`, one result for each, in the order of `refs`. Never sets a flag."""
        ...

    def finish(
        self,
        actions: Sequence[PendingAction],
        *,
        digest: Callable[[bytes], str],
        advance: Callable[[PendingAction, ActionPhase], PendingAction],
    ) -> list[Outcome]:
        """Carries out at most 100 actions of one kind; one outcome for each.

        Args:
            actions: Actions whose mails are durable.
            digest: The store's keyed fingerprint of an `identity`, in hexadecimal.
            advance: Makes a phase durable in the outbox before the step that it announces; returns the action
                with its new phase and member.
        """
        ...

    def wait(self, seconds: float) -> bool:
        """Waits for news at most that long (IDLE where offered, else just the time). True: look now.

        Returns early and with True after `wake`.
        """
        ...

    def wake(self) -> None:
        """Ends a `wait` from another thread."""
        ...

    def close(self) -> None:
        """Closes the connection without changing the mailbox. Never raises; may be called from another thread."""
        ...
