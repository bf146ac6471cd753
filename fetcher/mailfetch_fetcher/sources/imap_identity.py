"""What recognises an IMAP mail after its UID became worthless: pure functions (`store.md` hazard 33).

The same mail gives the same bytes on every way: whole, its beginning, its header, or only its field Message-ID.
"""

import hashlib
import re

from mailfetch_fetcher.headers import header_block, unfolded

REACH = 256 * 1024
"""Bytes: a header is looked at only so far. More than mail servers let pass."""
LONGEST_FIELD = 4 * 1024
"""Bytes: a longer Message-ID field is not taken from a listing; the whole header tells then."""
_LONGEST_ID = 200
"""Bytes: of a longer Message-ID, its hash stands in the identity, so that many identities fit into memory."""

_MESSAGE_ID = re.compile(rb"^message-id[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)
_STRANGE = re.compile(rb"[^!->@-~]+")
"""What servers show differently in a mail and in its header: blanks, line ends, what is not ASCII, question marks."""


def identity(*, header: bytes, received: int | None, size: int, object_id: bytes) -> bytes:
    """Never empty.

    Args:
        header: Raw bytes of the mail, or of its header; what follows the header is not looked at.
        received: INTERNALDATE in seconds since 1970.
        size: RFC822.SIZE as the server says it, right or wrong.
        object_id: EMAILID (RFC 8474) or X-GM-MSGID, or empty where the server has none.
    """
    if object_id:
        return b"object " + object_id
    block = header_block(header, reach=REACH)
    if found := _STRANGE.sub(b"?", message_id(block)):
        if len(found) > _LONGEST_ID:
            found = b"sha256:" + hashlib.sha256(found).hexdigest().encode()
        return b"message-id %s %d %d" % (found, -1 if received is None else received, size)
    return b"header " + hashlib.sha256(_STRANGE.sub(b"?", block)).hexdigest().encode()


def message_id(block: bytes) -> bytes:
    """The first field Message-ID of a header: unfolded and stripped, otherwise raw; empty without one."""
    match = _MESSAGE_ID.search(block)
    return unfolded(match[1]) if match else b""
