"""The answers to FETCH of the scripted IMAP server (imapfake.py)."""

import re
from typing import TYPE_CHECKING

from tests.servers.imapfake_mailbox import FakeMail

if TYPE_CHECKING:
    from tests.servers.imapfake import Quirks

_PARTIAL = re.compile(r"BODY\.PEEK\[\]<(\d+)\.(\d+)>")


def words_of(items: str) -> list[str]:
    """The items that are asked for; a section with its list of fields is one."""
    return re.findall(r"[A-Z0-9.\-]+(?:\[[^\]]*\](?:<[\d.]+>)?)?", items)


def answer(mail: FakeMail, number: int, items: list[str], quirks: "Quirks") -> bytes:
    told = [text for item in items if (text := _item(mail, item, quirks))]
    body = [text for item in items if (text := _body(mail, item, quirks))]
    parts = body + told if quirks.uid_last else told + body
    return b"* %d FETCH (" % number + b" ".join(parts) + b")\r\n"


def _item(mail: FakeMail, item: str, quirks: "Quirks") -> bytes:
    size = quirks.sizes.get(mail.uid, len(mail.raw))
    known = {
        "UID": f"UID {mail.uid}",
        "FLAGS": f"FLAGS ({' '.join(sorted(mail.flags))})",
        "INTERNALDATE": f'INTERNALDATE "{mail.date}"' if mail.date != "NIL" else "INTERNALDATE NIL",
        "RFC822.SIZE": f"RFC822.SIZE {size}",
        "EMAILID": f"EMAILID (M{mail.uid + 1000})" if mail.uid not in quirks.unnamed else "EMAILID NIL",
        "X-GM-MSGID": f"X-GM-MSGID {mail.uid + 1_278_455_344_230_334_865}",
    }
    return known.get(item, "").encode()


def _body(mail: FakeMail, item: str, quirks: "Quirks") -> bytes:
    if item == "BODY.PEEK[]":
        return b"BODY[] " + (quirks.body(mail) if quirks.body else _literal(mail.raw))
    if partial := _PARTIAL.fullmatch(item):
        start, length = int(partial[1]), int(partial[2])
        if not quirks.partial:
            return b"BODY[] " + _literal(mail.raw)
        return b"BODY[]<%d> " % start + _literal(mail.raw[start : start + length])
    header = mail.raw.partition(b"\r\n\r\n")[0] + b"\r\n"
    if item == "BODY.PEEK[HEADER]":
        return b"BODY[HEADER] " + _literal(header + b"\r\n")
    if item == "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]":
        fields = re.findall(rb"^message-id:[^\n]*\n(?:[ \t][^\n]*\n)*", header, re.IGNORECASE | re.MULTILINE)
        return b"BODY[HEADER.FIELDS (MESSAGE-ID)] " + _literal(b"".join(fields) + b"\r\n")
    return b""


def _literal(raw: bytes) -> bytes:
    return b"{%d}\r\n" % len(raw) + raw
