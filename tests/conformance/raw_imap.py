"""Another mail program over IMAP: for delivering, looking and removing, with nothing of the product in it."""

import contextlib
import imaplib
import re
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

TIMEOUT = 120.0


@dataclass(frozen=True, kw_only=True)
class Held:
    """A mail as the mailbox holds it; `uid` is the number of the mail on POP3."""

    uid: int
    raw: bytes
    flags: frozenset[str] = frozenset()


@contextlib.contextmanager
def login(*, port: int, context: ssl.SSLContext | None, user: str, password: str) -> Iterator[imaplib.IMAP4]:
    """A session; with TLS if there is a context."""
    plain = context is None
    made = imaplib.IMAP4("127.0.0.1", port, TIMEOUT) if plain else _tls(port, context)
    with made as imap:
        if "AUTH=PLAIN" in imap.capabilities:
            ok(imap.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode()))
        else:
            ok(imap.login(user, password))
        yield imap


def _tls(port: int, context: ssl.SSLContext | None) -> imaplib.IMAP4:
    return imaplib.IMAP4_SSL("127.0.0.1", port, ssl_context=context, timeout=TIMEOUT)


def ok(answer: tuple[str, Any]) -> Any:
    """The data of an answer that must be OK."""
    if answer[0] != "OK":
        raise RuntimeError(f"IMAP answered {answer!r}")
    return answer[1]


def read(imap: imaplib.IMAP4, folder: str) -> list[Held]:
    """All mails of a folder (its name as IMAP writes it), in UID order; changes nothing."""
    total = int(ok(imap.select(f'"{folder}"', readonly=True))[0])
    if total == 0:
        return []
    uids = [int(uid) for uid in ok(imap.uid("SEARCH", "ALL"))[0].split()]
    held: list[Held] = []
    for start in range(0, len(uids), 20):
        chosen = ",".join(map(str, uids[start : start + 20]))
        held += _held(ok(imap.uid("FETCH", chosen, "(UID FLAGS BODY.PEEK[])")))
    if [h.uid for h in held] != uids:
        raise RuntimeError(f"asked for the UIDs {uids}, got {[h.uid for h in held]}")
    return held


def _held(answer: Sequence[Any]) -> Iterator[Held]:
    for k, piece in enumerate(answer):
        if not isinstance(piece, tuple):
            continue
        around = piece[0] + (answer[k + 1] if isinstance(answer[k + 1], bytes) else b"")
        uid, flags = re.search(rb"UID (\d+)", around), re.search(rb"FLAGS \(([^)]*)\)", around)
        if uid is None or flags is None:
            raise RuntimeError(f"an answer without UID or FLAGS: {around!r}")
        names = frozenset(flags[1].decode().lower().split()) - {"\\recent"}
        yield Held(uid=int(uid[1]), raw=piece[1], flags=names)


def append(imap: imaplib.IMAP4, folder: str, raw: bytes, *, received: datetime | None = None) -> None:
    """Delivers one mail; `received` becomes its INTERNALDATE."""
    when = imaplib.Time2Internaldate((received or datetime.now(UTC)).astimezone(UTC))
    ok(imap.append(f'"{folder}"', "", when, raw))


def expunge(imap: imaplib.IMAP4, folder: str, uids: Sequence[int]) -> None:
    """Removes mails for good."""
    ok(imap.select(f'"{folder}"'))
    ok(imap.uid("STORE", ",".join(map(str, uids)), "+FLAGS.SILENT", r"(\Deleted)"))
    ok(imap.expunge())


def store(imap: imaplib.IMAP4, folder: str, uids: Sequence[int], flag: str) -> None:
    """Sets a flag."""
    ok(imap.select(f'"{folder}"'))
    ok(imap.uid("STORE", ",".join(map(str, uids)), "+FLAGS.SILENT", f"({flag})"))
