"""From a downloaded message to a mail for the store (pure): raw bytes are hashed and kept, headers are best effort."""

import hashlib
from datetime import UTC, datetime

from mailfetch_fetcher.clock import rfc3339
from mailfetch_fetcher.contract.spec import Spec
from mailfetch_fetcher.headers import read_headers
from mailfetch_fetcher.sources.base import PERMANENTLY, Message
from mailfetch_fetcher.store.model import Blob, Mail, WantedAction

HEAD = 256 * 1024
"""Bytes: headers are looked for in the first part of a mail only."""


def wanted_action(spec: Spec) -> WantedAction | None:
    """The action that each mail gets into the outbox, or None.

    POP3 knows no flags: MarkSeen is nothing there, so that a mailbox of any size costs nothing.
    """
    after = spec.after_download
    if after.action == "None" or (after.action == "MarkSeen" and spec.protocol == "POP3"):
        return None
    permanent = after.action == "Delete" and after.permanent
    return WantedAction(kind=after.action, folder=PERMANENTLY if permanent else after.folder)


def build_mail(
    message: Message,
    *,
    folder: str,
    uid_validity: str,
    action: WantedAction | None,
    body: bytes | Blob,
    head: bytes,
    sha256: str,
    refetch: str = "",
) -> Mail:
    """The mail that is committed.

    Args:
        message: As the source gave it.
        folder: Folder it came from.
        uid_validity: Of the session.
        action: After-download action.
        body: Raw bytes, or the blob that holds them.
        head: The first bytes of the mail, with its headers.
        sha256: Hexadecimal hash of the raw bytes.
        refetch: Value of the request that asks for it once more.
    """
    headers = read_headers(head[:HEAD])
    return Mail(
        ref=message.ref.key,
        uid_validity=uid_validity,
        uid=message.ref.uid,
        folder=folder,
        identity=message.identity,
        body=body,
        size=body.size if isinstance(body, Blob) else len(body),
        sha256=sha256,
        message_id=headers.message_id,
        sender=headers.sender,
        to=headers.to,
        subject=headers.subject,
        date=headers.date,
        received=_date(message.received),
        flags=" ".join(message.flags),
        action=action,
        name=message.name,
        refetch=refetch,
    )


def _date(seconds: int | None) -> str:
    """RFC 3339, or empty: a date that no calendar holds must not stop a mail."""
    if seconds is None or seconds < 0:  # before there was mail
        return ""
    try:
        return rfc3339(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return ""


def seconds_since(received: str, now: datetime) -> float | None:
    """Seconds from a mail's `received` to now; None if the server told no date."""
    return (now - datetime.fromisoformat(received)).total_seconds() if received else None


def hash_of(raw: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()
