"""The headers that people want to see, from the raw bytes of a mail: best effort, bounded, never raises.

A header that cannot be decoded is data, not an error. The bytes of the mail are never altered.
"""

import contextlib
import re
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header

REACH = 64 * 1024
"""Bytes: headers are looked for only so far into a mail."""
LONGEST = 998
"""Characters that are kept of a header."""

_BETWEEN = "raw-unicode-escape"
"""How `decode_header` writes what stands between encoded words."""
_FIELD = re.compile(
    rb"^(from|to|subject|message-id|date)[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE
)
_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Headers:
    """Decoded texts of at most `LONGEST` characters; a header that is not there is empty."""

    sender: str = ""
    to: str = ""
    subject: str = ""
    message_id: str = ""
    date: str = ""


def read_headers(raw: bytes) -> Headers:
    """The headers of a mail (or of the beginning of one); of a field that occurs twice, the first."""
    fields = raw_fields(raw)

    def text(name: bytes) -> str:
        return decoded(fields[name]) if name in fields else ""

    return Headers(
        sender=text(b"from"),
        to=text(b"to"),
        subject=text(b"subject"),
        message_id=text(b"message-id"),
        date=text(b"date"),
    )


def raw_fields(raw: bytes) -> dict[bytes, bytes]:
    """The five fields by their name in lower case: unfolded and stripped, otherwise as they are in the mail."""
    fields: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(header_block(raw)):
        fields.setdefault(match[1].lower(), unfolded(match[2]))
    return fields


def unfolded(value: bytes) -> bytes:
    """What a field says: in one line and stripped, otherwise raw."""
    return _FOLD.sub(b"", value).strip()


def header_block(raw: bytes, *, reach: int = REACH) -> bytes:
    """Everything before the first empty line, or before that many bytes. Identities are made of it: never change it."""
    head = raw[:reach]
    if head.startswith((b"\r\n", b"\n")):
        return b""
    end = _END.search(head)
    return head[: end.start()] if end else head.rstrip(b"\r\n")


def decoded(value: bytes) -> str:
    """The text of a field's value, of at most `LONGEST` characters, without control characters."""
    value = value[: 8 * LONGEST]  # an encoded word is longer than its text, but not without bounds
    text = _bytes_to_text(value, "utf-8")
    if "=?" in text:
        with contextlib.suppress(HeaderParseError, ValueError):  # not RFC 2047 after all: shown as it is
            text = "".join(
                part if isinstance(part, str) else _bytes_to_text(part, charset or _BETWEEN)
                for part, charset in decode_header(text)
            )
    return _CONTROL.sub(" ", text)[:LONGEST]


def _bytes_to_text(raw: bytes, charset: str) -> str:
    """Never fails: an unknown charset, or bytes that are not of it, are read as Latin-1."""
    try:
        text = raw.decode(charset)
        text.encode()  # some codecs make lone surrogates, which cannot be stored
    except (UnicodeError, LookupError, ValueError):
        return raw.decode("latin-1")
    return text
