"""What recognises an IMAP mail after its UID became worthless: one pure function (`store.md` hazard 33)."""

import hashlib

from mailfetch_fetcher.headers import header_block, raw_fields


def identity(*, header: bytes, received: int | None, size: int, object_id: bytes) -> bytes:
    """Never empty, and the same whether `header` is the whole mail or only its header (BODY[HEADER]).

    Args:
        header: Raw bytes; what follows the header is not looked at.
        received: INTERNALDATE in seconds since 1970.
        size: RFC822.SIZE as the server says it, right or wrong.
        object_id: EMAILID (RFC 8474) or X-GM-MSGID, or empty where the server has none.
    """
    if object_id:
        return b"object " + object_id
    if message_id := raw_fields(header).get(b"message-id"):
        return b"message-id %s %d %d" % (message_id, -1 if received is None else received, size)
    return b"header " + hashlib.sha256(header_block(header)).hexdigest().encode()
