"""Walking the UIDs of a folder in windows: never `SEARCH ALL`, never the whole mailbox in memory.

UIDs may be sparse (up to 2^32 - 1), UIDNEXT may be missing or wrong, answers may come in any order, twice, or unasked.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.imap_answers import uid_and_size
from mailfetch_fetcher.sources.imap_cursor import HIGHEST_UID
from mailfetch_fetcher.sources.imap_folders import Folder
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Answer, Refused, Wire

WINDOW = 5_000
"""Mails of one window at most, and UIDs that one command asks for to begin with."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a listing tells about one mail.

    Attributes:
        uid: UID.
        size: RFC822.SIZE; -1 if it was not told.
        received: INTERNALDATE in seconds since 1970, or None.
        identity: As `Message.identity`; empty if it was not told.
    """

    uid: int
    size: int = -1
    received: int | None = None
    identity: bytes = b""

    def joined(self, other: "Row") -> "Row":
        """Both answers to the same mail in one."""
        received = self.received if other.received is None else other.received
        return Row(self.uid, max(self.size, other.size), received, other.identity or self.identity)


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked about each mail, and how an answer is read (UID 0: it is news, not an answer)."""

    items: bytes
    read: Callable[[Answer], Row]


def _read_size(answer: Answer) -> Row:
    return Row(*uid_and_size(answer.text))


SIZES = Query(items=b"(UID RFC822.SIZE)", read=_read_size)
_UIDS = Query(items=b"(UID)", read=_read_size)


class Walk:
    """Walks one open folder.

    Attributes:
        highest: Highest UID that was met.
    """

    def __init__(self, wire: Wire, *, folder: Folder, settings: ImapSettings) -> None:
        self._wire = wire
        self._folder = folder
        self._settings = settings
        self.highest = 0

    def windows(self, query: Query, *, after: int, until: int = 0) -> Iterator[list[Row]]:
        """The mails above a UID (and up to another, if that is not 0) in ascending order, in pieces, none empty."""
        if self._wire.exists == 0 and not self._mail_came():
            return  # some servers refuse `UID FETCH 1:*` in an empty folder
        uid, width = after, WINDOW
        bound = self.last_uid()
        while uid < (until or HIGHEST_UID):
            last = uid + width >= bound or 0 < until <= uid + width
            # `*` at the end: what came after SELECT, and whatever UIDNEXT says, the truth.
            high = until if last else uid + width
            rows, more = self._rows(query, uid, high)
            if rows:
                self.highest = max(self.highest, rows[-1].uid)
                yield rows
                bound = max(bound, more)
            if last and not more:
                return
            if more:  # UIDs are dense here: as many as these
                uid, width = rows[-1].uid, rows[-1].uid - uid
            else:  # they may be sparse
                uid, width = rows[-1].uid if rows else uid + width, width * 2 if len(rows) < WINDOW // 2 else width

    def last_uid(self) -> int:
        """The highest UID that the folder has, or has ever had, as far as the server tells."""
        if self._folder.uid_next:
            return self._folder.uid_next - 1
        if self._wire.exists == 0:
            return 0
        try:
            answers = self._wire.run(b"UID FETCH * (UID)")
        except Refused:
            return 0
        return max((uid_and_size(a.text)[0] for a in answers), default=0)

    def _mail_came(self) -> bool:
        self._wire.run(b"NOOP")
        return self._wire.exists > 0

    def _rows(self, query: Query, after: int, high: int) -> tuple[list[Row], int]:
        """The first `WINDOW` mails above a UID (up to `high`; 0: all), and the highest that did not fit (else 0)."""
        try:
            return self._read(_UIDS if self._settings.careful and query is SIZES else query, after, high)
        except Refused:
            pass  # one mail of which something cannot be told must not hide the others
        try:
            return self._read(_UIDS, after, high)
        except Refused as e:
            doing = f"list the mails of the folder {self._settings.folder}"
            raise errors.refused(self._settings.address, doing, e.text) from e

    def _read(self, query: Query, after: int, high: int) -> tuple[list[Row], int]:
        """Reads with bounded memory, whatever the number and order of the answers."""
        command = b"UID FETCH %d:%s %s" % (after + 1, b"%d" % high if high else b"*", query.items)
        found: dict[int, Row] = {}
        too_many = 0
        for answer in self._wire.answers(self._wire.start(command)):
            if not answer.is_fetch:
                continue
            row = query.read(answer)
            if row.uid <= after:
                continue  # `n:*` also answers with the last mail when that is below n; or no UID: news about flags
            if 0 < high < row.uid:
                continue  # news about another mail: as the last of a window it would make the cursor pass all between
            known = found.get(row.uid)
            found[row.uid] = known.joined(row) if known else row
            if len(found) >= 2 * WINDOW:
                too_many = max(too_many, *found)
                found = {uid: found[uid] for uid in heapq.nsmallest(WINDOW, found)}
        chosen = sorted(found)
        if len(chosen) > WINDOW:
            too_many = max(too_many, chosen[-1])
        return [found[uid] for uid in chosen[:WINDOW]], too_many
