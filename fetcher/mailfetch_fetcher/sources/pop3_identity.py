"""What recognises a POP3 mail by its header, and when it was written (pure; `store.md` hazards 20 and 39)."""

import hashlib
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mailfetch_fetcher.headers import header_block, raw_fields

REACH = 68 * 1024
"""Bytes of a mail that are looked at."""
_COUNTED = 64 * 1024
"""Bytes that count after rewriting: less than `REACH`, so that fields that come and go do not move the end."""
_REWRITTEN = frozenset((b"status", b"x-status", b"x-uidl", b"x-keywords", b"x-imap", b"content-length"))
"""Fields that servers add or change after a mail was read (qpopper, mbox)."""
_NEXT_FIELD = re.compile(rb"\r?\n(?![ \t])")
_OLDEST = datetime(1980, 1, 1, tzinfo=UTC)
"""Nobody wrote mail with a correct clock before: an older date is that of a clock that was never set."""


def identity(head: bytes) -> bytes:
    """Never empty; the same for a whole mail and for its header alone, and however its fields are folded.

    Args:
        head: The beginning of the mail, at least `REACH` bytes of it or all.
    """
    block = header_block(head, reach=REACH)
    fields = (b" ".join(field.split()) for field in _NEXT_FIELD.split(block))
    kept = [field for field in fields if field.partition(b":")[0].rstrip().lower() not in _REWRITTEN]
    return b"header " + hashlib.sha256(b"\n".join(kept)[:_COUNTED]).hexdigest().encode()


def written(head: bytes) -> float | None:
    """The header Date in seconds since 1970, or None if there is none that makes sense."""
    raw = raw_fields(head).get(b"date", b"")
    try:
        moment = parsedate_to_datetime(raw.decode("ascii"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)  # -0000: the zone is not known
    return moment.timestamp() if moment >= _OLDEST else None
