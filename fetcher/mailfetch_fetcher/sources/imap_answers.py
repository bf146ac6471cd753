"""Reading FETCH answers (pure): the items that we ask for, in whatever order and company a server sends them."""

import re
from calendar import timegm
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_tz

_UID = re.compile(rb"[( ]UID (\d{1,10})\b", re.IGNORECASE)
_SIZE = re.compile(rb"[( ]RFC822\.SIZE (\d{1,18})\b", re.IGNORECASE)
_FLAGS = re.compile(rb"[( ]FLAGS \(([^)]*)\)", re.IGNORECASE)
_DATE = re.compile(rb'[( ]INTERNALDATE "([^"]+)"', re.IGNORECASE)
_OBJECT = re.compile(rb"[( ](?:EMAILID \(([^)]{1,255})\)|X-GM-MSGID (\d{1,20})\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Items:
    """Items of one FETCH answer.

    Attributes:
        uid: UID; 0 if the answer has none (then it is news about flags, not an answer to a UID command).
        size: RFC822.SIZE; -1 if it was not told.
        flags: Flags without Recent.
        received: INTERNALDATE in seconds since 1970 (UTC), or None.
        object_id: EMAILID or X-GM-MSGID, or empty.
    """

    uid: int
    size: int
    flags: tuple[str, ...]
    received: int | None
    object_id: bytes


def uid_and_size(text: bytes) -> tuple[int, int]:
    """UID (0 if missing) and RFC822.SIZE (-1 if missing) only: for long lists."""
    if b"FLAGS" in text:
        text = _FLAGS.sub(b"", text)  # a keyword may be named like an item
    uid, size = _UID.search(text), _SIZE.search(text)
    return int(uid[1]) if uid else 0, int(size[1]) if size else -1


def items(text: bytes) -> Items:
    """All items."""
    flags: tuple[str, ...] = ()
    if match := _FLAGS.search(text):
        words = match[1].decode("utf-8", "replace").split()
        flags = tuple(word for word in words if word.lower() != "\\recent")
        text = text[: match.start()] + text[match.end() :]
    uid, size = uid_and_size(text)
    date, found = _DATE.search(text), _OBJECT.search(text)
    return Items(
        uid=uid,
        size=size,
        flags=flags,
        received=internal_date(date[1]) if date else None,
        object_id=(found[1] or found[2]) if found else b"",
    )


def internal_date(raw: bytes) -> int | None:
    """Seconds since 1970 of `17-Jul-1996 02:44:25 -0700`, or None."""
    try:
        parsed = parsedate_tz(raw.decode("ascii").replace("-", " ", 2).strip())
        return None if parsed is None else timegm((*parsed[:6], 0, 0, 0)) - (parsed[9] or 0)
    except (ValueError, IndexError, OverflowError):
        return None


def uid_set(uids: Iterable[int]) -> bytes:
    """A sequence set of ascending UIDs, runs written as ranges: `1:3,7`."""
    return b",".join(b"%d" % low if low == high else b"%d:%d" % (low, high) for low, high in _runs(uids))


def _runs(uids: Iterable[int]) -> Iterator[tuple[int, int]]:
    low = high = 0
    for uid in uids:
        if high and uid == high + 1:
            high = uid
            continue
        if high:
            yield low, high
        low = high = uid
    if high:
        yield low, high


def pieces(uids: Iterable[int], *, runs: int) -> Iterator[list[int]]:
    """Ascending UIDs in groups of at most so many runs each, so that no command line gets too long."""
    group: list[int] = []
    count = 0
    for uid in uids:
        if not group or uid != group[-1] + 1:
            if count == runs:
                yield group
                group, count = [], 0
            count += 1
        group.append(uid)
    if group:
        yield group
