"""Looking at mails without downloading them: what identifies a mail under a UID, and which UIDs are still there."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from mailfetch_fetcher.headers import header_block
from mailfetch_fetcher.sources.imap_answers import Items, items, pieces, uid_and_size, uid_set
from mailfetch_fetcher.sources.imap_identity import LONGEST_FIELD, REACH, identity, message_id
from mailfetch_fetcher.sources.imap_walk import Query, Row
from mailfetch_fetcher.sources.imap_wire import Answer, Wire
from mailfetch_fetcher.sources.source import Digest

RUNS = 400
"""Runs of UIDs of one command: 8 kB, the line length that every server takes (RFC 7162 section 4)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A mail that was looked at.

    Attributes:
        size: RFC822.SIZE; -1 if it was not told.
        received: INTERNALDATE in seconds since 1970, or None.
        identity: As of a downloaded mail.
        copy_identity: What a mail has in common with its copy in another folder.
        message_id: Raw Message-ID, or empty.
    """

    size: int
    received: int | None
    identity: bytes
    copy_identity: bytes
    message_id: bytes

    def fits(self, fingerprint: str, digest: Digest) -> bool:
        """It is the mail with this fingerprint; also if the server has begun to name its mails since."""
        return fingerprint in (digest(self.identity), digest(self.copy_identity))


def object_item(capabilities: frozenset[str]) -> bytes:
    """The item that names a mail for ever, with a blank behind it, where the server has one."""
    if "OBJECTID" in capabilities:
        return b"EMAILID "
    return b"X-GM-MSGID " if "X-GM-EXT-1" in capabilities else b""


def look(wire: Wire, uids: Iterable[int], *, object_item: bytes) -> dict[int, Seen]:
    """The mails under these UIDs of the open folder, as far as the server shows them.

    Raises:
        Refused: it shows none.
    """
    seen: dict[int, Seen] = {}
    for piece in pieces(sorted(uids), runs=RUNS):
        command = b"UID FETCH %s (%sUID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER])" % (uid_set(piece), object_item)
        for answer in wire.answers(wire.start(command), longest_body=REACH):
            if answer.length < 0 or not answer.is_fetch:
                continue
            header = answer.body if answer.body is not None else next(answer.chunks or iter(()), b"")
            for _ in answer.chunks or ():
                pass  # the UID may stand behind the header
            if (found := items(answer.text)).uid:
                seen[found.uid] = _seen(found, header)
    return seen


def _seen(found: Items, header: bytes) -> Seen:
    def told(object_id: bytes) -> bytes:
        return identity(header=header, received=found.received, size=found.size, object_id=object_id)

    return Seen(
        size=found.size,
        received=found.received,
        identity=told(found.object_id),
        copy_identity=told(b""),
        message_id=message_id(header_block(header, reach=REACH))[:LONGEST_FIELD],
    )


def identities(*, object_item: bytes) -> Query:
    """Asks for as little as tells the identity of most mails: the server's own name of a mail, or its Message-ID."""
    told = object_item.rstrip() or b"BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]"
    return Query(items=b"(UID RFC822.SIZE INTERNALDATE " + told + b")", read=_read_identity)


def _read_identity(answer: Answer) -> Row:
    found = items(answer.text)
    field = answer.body or b""
    told = b""
    complete = found.size >= 0 and found.received is not None
    if found.object_id or (complete and len(field) <= LONGEST_FIELD and message_id(header_block(field, reach=REACH))):
        told = identity(header=field, received=found.received, size=found.size, object_id=found.object_id)
    return Row(found.uid, found.size, found.received, told)


def present(wire: Wire, uids: Collection[int]) -> set[int]:
    """Those of the UIDs that the open folder still has.

    Raises:
        Refused: the server does not say.
    """
    wanted = set(uids)
    if not wanted:
        return set()
    answers = wire.run(b"UID FETCH %s (UID)" % uid_set(sorted(wanted)))
    return {uid_and_size(answer.text)[0] for answer in answers if answer.is_fetch} & wanted


def search(wire: Wire, criteria: bytes) -> list[int]:
    """UIDs of the open folder that fit.

    Raises:
        Refused: the server cannot search for that.
    """
    found: set[int] = set()
    for answer in wire.run(b"UID SEARCH " + criteria):
        if answer.text.upper().startswith(b"* SEARCH"):
            found.update(int(word) for word in answer.text.split()[2:] if word.isdigit() and len(word) < 11)
    return sorted(found)
