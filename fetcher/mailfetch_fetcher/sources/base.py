"""What goes between a source and the rest: mails, listings, actions. The protocol itself is in `source.py`.

Cursors are opaque texts: the source makes and reads them, the store only keeps them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

ActionKind = Literal["MarkSeen", "Delete", "Move"]
PERMANENTLY = "permanently"
"""Stands with Delete in place of a folder: nothing is left in Deleted Items. So in the outbox it is another action."""
ActionPhase = Literal["pending", "copying", "copied"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """What is known right after the mailbox was selected.

    Attributes:
        uid_validity: UIDVALIDITY as a decimal text (RFC 9051 section 2.3.1.1); empty where there is none (POP3).
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
        new: Mails beyond the cursor, or (where mails have names) that the ledger does not know.
        total: Mails in the folder.
        known: Mails of the folder that the ledger knows; -1 where the cursor decides (IMAP).
        unseen: Mails without the flag Seen; -1 if it was not asked for.
        exact: `new` is the exact number.
        doubt: Why even the number of mails that there are may be far off, for people; empty: it is right.
    """

    new: int
    total: int
    unseen: int
    exact: bool
    known: int = -1
    doubt: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ref:
    """One mail at the server.

    `key` names it for ever, without blanks: for IMAP `<uidvalidity>/<uid>`, for POP3 `<quoted UIDL>/<n>` with n
    its occurrence in the listing, for Graph `<quoted id>/1`. `uid` is 0 where there is none. `size` is a hint only.
    """

    key: str
    uid: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The next new mails, in stable order; once all of them are committed the cursor is `cursor`.

    `gone` are names that must leave the ledger before the cursor passes: the mails are proven to have left, so that
    one that comes back is new.
    """

    refs: tuple[Ref, ...]
    cursor: str
    gone: tuple[bytes, ...] = ()


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
        identity: What recognises this mail by its content: after UIDVALIDITY changed (`store.md` 33), and before it is
            moved or deleted in another session than the one that downloaded it (20). IMAP: EMAILID, else Message-ID
            with INTERNALDATE and RFC822.SIZE, else the whole header. POP3: the header without what servers rewrite
            (39). Graph: its id, which is that of no other mail. Never empty.
        name: What the ledger knows it by where mails have names (POP3, Graph); empty on IMAP, where the ledger holds
            the identity with its occurrence.
    """

    ref: Ref
    cursor: str
    raw: bytes | None
    parts: Iterator[bytes] | None
    flags: tuple[str, ...]
    received: int | None
    identity: bytes
    name: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A mail of a listing.

    Attributes:
        ref: Which mail.
        name: Its name for the ledger: on IMAP its identity (as `Message.identity`; the occurrence is counted by whoever
            walks), elsewhere `Message.name`.
        received: INTERNALDATE on IMAP, else None.
    """

    ref: Ref
    name: bytes
    received: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A piece of a listing of the whole mailbox; once all up to here is settled the cursor may be `cursor`."""

    mails: tuple[Listed, ...]
    cursor: str


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """Where a mailbox begins that is not downloaded from its beginning (`spec.backlog`, `store.md` 41).

    Attributes:
        cursor: The cursor to begin with. On IMAP it carries the filter of `Since` for the UIDs below the baseline.
        old: Names of the mails that count as known, in pieces, to be read once; nothing on IMAP.
    """

    cursor: str
    old: Iterator[Sequence[bytes]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """A mail that was discovered and is proven to be gone (a later look for it found nothing)."""

    ref: Ref
    cursor: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """A mail that is there and that the server does not give out; the connection lives on.

    The cursor may pass it only together with its record in the quarantine (`store.md` 38): `cursor` is the cursor then.
    `too_large` is its size in bytes if that is why it was not read (larger than maxMessageSize), else 0.
    `name` is as `Message.name`: in quarantine it counts as known.
    """

    ref: Ref
    cursor: str
    detail: str
    too_large: int = 0
    name: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class PendingAction:
    """One after-download action of the outbox; its mail is durable in the store.

    Attributes:
        key: `Ref.key` of the mail.
        fingerprint: `digest(identity)` of the mail, in hexadecimal.
        kind: What to do.
        folder: Target of Move; with Delete `PERMANENTLY` if that is wanted; else empty.
        phase: How far a copy-and-delete came before.
        entry: Id of the queue entry.
        member: The exact text in the outbox, for removing it.
        same_session: Downloaded by this very session, so the fingerprint need not be compared again.
    """

    key: str
    fingerprint: str
    kind: ActionKind
    folder: str
    phase: ActionPhase
    entry: str
    member: str
    same_session: bool

    @property
    def uid_validity(self) -> str:
        """On IMAP: UIDVALIDITY of the session that downloaded it."""
        return self.key.rpartition("/")[0]

    @property
    def uid(self) -> int:
        """On IMAP: UID of the mail; on POP3 its occurrence."""
        return int(self.key.rpartition("/")[2])


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of an action.

    Attributes:
        action: The action.
        result: `done`: carried out (or the mail no longer exists); `dropped`: it must never be carried out (another
            UIDVALIDITY, another mail under this UID); `failed`: it stays pending and is tried again later.
        detail: Why it was dropped or failed.
        was_gone: Done, as the mail was not there any more: that it is deleted is not our doing, and not proven either
            where a list may lack mails for a while (POP3).
    """

    action: PendingAction
    result: Literal["done", "dropped", "failed"]
    detail: str = ""
    was_gone: bool = False
