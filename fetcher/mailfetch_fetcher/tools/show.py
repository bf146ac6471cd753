"""`tools show`: one mail with its headers, its way through the log, and its bytes."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import msgspec

from mailfetch_fetcher.errors import StoreError
from mailfetch_fetcher.headers import REACH, decoded, header_block, unfolded
from mailfetch_fetcher.tools.find import find_all, only
from mailfetch_fetcher.tools.log import completed, lines_of_entry
from mailfetch_fetcher.tools.model import Attempt, Line, Mail, NoSuchMail, Shown, Whole, entry_of
from mailfetch_fetcher.tools.opened import Opened

MOST_HEADERS = 200
PART = 1 << 20
"""Bytes of a large body that are in memory at a time."""
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)", re.MULTILINE)


def read_mail(streams: Sequence[Opened], ref: str) -> Shown:
    """All that is known of a mail.

    Raises:
        NoSuchMail: it is not there.
        Ambiguous: several have this Message-ID.
        StoreError: Redis refuses, or the link failed.
    """
    opened, mail = only(ref, find_all(streams, [ref])[ref])
    log = completed(opened, lines_of_entry(opened, mail.entry, mail.fields.get("id", "")))
    head = next(body_parts(opened, mail), b"") if mail.entry else b""
    fields = msgspec.structs.asdict(entry_of(mail))
    whole = Whole(**fields, headers=list(headers(head)), attempts=attempts(mail, log))
    return Shown(entry=whole, log=log)


def write_body(streams: Sequence[Opened], ref: str, *, out: BinaryIO) -> None:
    """Writes the bytes of a mail; as `read_mail`.

    Raises:
        StoreError: also if it turned out at the end that they are not what was downloaded.
    """
    opened, mail = only(ref, find_all(streams, [ref])[ref])
    if not mail.entry:
        raise NoSuchMail(f"{ref} is in quarantine: it could not be downloaded, so there is nothing to show")
    digest = hashlib.sha256()
    for part in body_parts(opened, mail):
        digest.update(part)
        out.write(part)
    out.flush()
    if digest.hexdigest() != mail.fields.get("sha256"):
        text = f"the body of {ref} is not what was downloaded: somebody removed or changed it in Redis"
        raise StoreError("StoreUnsafe", text)


def body_parts(opened: Opened, mail: Mail) -> Iterator[bytes]:
    """The body, a large one in parts."""
    blob = mail.fields.get("blob", "")
    if not blob:
        for _, flat in opened.call("XRANGE", opened.keys.queue, mail.entry, mail.entry):
            yield dict(zip(flat[::2], flat[1::2], strict=True)).get(b"raw", b"")
        return
    start = 0
    while part := opened.call("GETRANGE", blob, start, start + PART - 1):
        yield part
        start += len(part)


def headers(head: bytes) -> Iterator[tuple[str, str]]:
    """Name and decoded value of the first headers in their order; long ones are cut."""
    for number, match in enumerate(_FIELD.finditer(header_block(head[:REACH]))):
        if number == MOST_HEADERS:
            return
        yield match[1].decode("ascii"), decoded(unfolded(match[2]))


def attempts(mail: Mail, log: Sequence[Line]) -> list[Attempt]:
    """The deliveries that consumers told of, and those that are going on, oldest first."""
    told: dict[str, list[Line]] = {}
    for line in log:
        if line.consumer:
            told.setdefault(line.execution, []).append(line)
    for held in mail.held:
        told.setdefault(f"{held.group}/{mail.entry}/{held.deliveries}", [])
    owners = {(held.group, str(held.deliveries)): held.consumer for held in mail.held}
    found = []
    for execution, steps in told.items():
        group, _, deliveries = execution.rsplit("/", 2) if execution.count("/") >= 2 else ("", "", "")
        consumer = steps[-1].consumer if steps else owners.get((group, deliveries), "")
        number = int(deliveries) if deliveries.isdecimal() else 0
        found.append(Attempt(execution=execution, group=group, consumer=consumer, deliveries=number, steps=steps))
    return found
