"""Finding what is new from the cursor on, counting it, and noticing that the cursor means nothing any more."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.base import Ref, Snapshot, Window
from mailfetch_fetcher.sources.imap_answers import items, uid_and_size
from mailfetch_fetcher.sources.imap_cursor import HIGHEST_UID, Cursor, key_of, read_cursor
from mailfetch_fetcher.sources.imap_folders import Folder
from mailfetch_fetcher.sources.imap_look import Seen, look, object_item
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_walk import SIZES, Query, Row, Walk
from mailfetch_fetcher.sources.imap_wire import Answer, Refused, Wire
from mailfetch_fetcher.sources.source import Digest

_COUNTABLE = 20_000
"""UIDs (or mails) that may be listed only to count them, where the server cannot count."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _read_date(answer: Answer) -> Row:
    found = items(answer.text)
    return Row(found.uid, found.size, found.received)


DATES = Query(items=b"(UID RFC822.SIZE INTERNALDATE)", read=_read_date)


class Discovery:
    """What is new in one open folder."""

    def __init__(
        self, wire: Wire, *, walk: Walk, folder: Folder, settings: ImapSettings, capabilities: frozenset[str]
    ) -> None:
        self._wire = wire
        self._walk = walk
        self._folder = folder
        self._settings = settings
        self._object_item = object_item(capabilities)
        self._can_count = bool({"ESEARCH", "IMAP4REV2"} & capabilities)
        self._fresh = True
        """Nothing was asked since the folder was opened, so its number of mails is up to date."""

    # ---- is the cursor still true? ----

    def changed(self, cursor: str, *, anchor: str, digest: Digest) -> str:
        """See `Source.changed`."""
        at, now = read_cursor(cursor), self._folder
        if not at.uid_validity:
            return ""
        name = f"the server numbers the mails of the folder {self._settings.folder} anew"
        if at.uid_validity != now.uid_validity:  # also a smaller one
            return f"{name} (UIDVALIDITY was {at.uid_validity}, is {now.uid_validity})"
        proven = 0
        uid, _, fingerprint = anchor.partition(":")
        if fingerprint and (mail := self._look(int(uid))):
            if not mail.fits(fingerprint, digest):
                return f"{name}: another mail than the one that was downloaded has UID {uid} now"
            proven = int(uid)
        # UIDNEXT is as of SELECT: what was met since counts as well. A mail that still stands where it was proves more.
        next_uid = now.uid_next and max(now.uid_next, self._walk.highest + 1, proven + 1)
        if next_uid and next_uid <= at.uid:
            return (
                f"the folder {self._settings.folder} went back in time: UID {at.uid} was downloaded, but the next mail "
                f"gets UID {now.uid_next}; it may have been restored from a backup"
            )
        return ""

    def _look(self, uid: int) -> Seen | None:
        """The mail under a UID, or None if it is gone or not shown: neither says anything about the others."""
        try:
            return look(self._wire, [uid], object_item=self._object_item).get(uid)
        except Refused as e:
            if error := errors.throttled(self._settings.address, e.text):
                raise error from e
            return None

    # ---- counting ----

    def snapshot(self, cursor: str, *, unseen: bool) -> Snapshot:
        """Counts in at most two round trips (three with `unseen`)."""
        at = read_cursor(cursor)
        if not self._fresh:
            self._wire.run(b"NOOP")  # brings the number of mails up to date
        self._fresh = False
        total = self._wire.exists
        new, exact = self._count_new(at, total)
        return Snapshot(new=new, total=total, unseen=self._count_unseen(total) if unseen else -1, exact=exact)

    def _count_new(self, at: Cursor, total: int) -> tuple[int, bool]:
        if total == 0 or (at.uid == 0 and not at.filters):
            return total, True
        if at.uid >= HIGHEST_UID:
            return 0, True
        if at.uid_validity != self._folder.uid_validity:
            return total, False  # how many of them are old is known only after a comparison
        if self._can_count:
            return self._search_count(_beyond(at)), not at.filters  # SEARCH knows days, not seconds
        gap = self._walk.last_uid() - at.uid
        if gap > _COUNTABLE:
            return min(gap, total), False
        # `*` because more may have come since SELECT; that many are not kept, only counted.
        count = 0
        for answer in self._wire.answers(self._wire.start(b"UID FETCH %d:* (UID)" % (at.uid + 1))):
            count += answer.is_fetch and uid_and_size(answer.text)[0] > at.uid
        return count, not at.filters

    def _count_unseen(self, total: int) -> int:
        if self._can_count:
            return self._search_count(b"UNSEEN")
        if total > _COUNTABLE:
            return -1
        return sum(len(a.text.split()) - 2 for a in self._wire.run(b"UID SEARCH UNSEEN") if _is_search(a.text))

    def _search_count(self, criteria: bytes) -> int:
        for answer in self._wire.run(b"UID SEARCH RETURN (COUNT) " + criteria):
            words = answer.text.upper().split()
            if words[1:2] == [b"ESEARCH"] and b"COUNT" in words[:-1]:
                count = words[words.index(b"COUNT") + 1]
                return int(count) if count.isdigit() and len(count) < 11 else 0
        return 0

    # ---- finding ----

    def begin(self, cursor: str) -> Cursor:
        """The cursor to walk on from, after `changed` found that it can be."""
        at = read_cursor(cursor)
        if at.uid_validity not in (0, self._folder.uid_validity):
            raise errors.made_anew(self._settings.address)
        return replace(at, uid_validity=self._folder.uid_validity)

    def windows(self, at: Cursor) -> Iterator[Window]:
        """Windows of new mails, oldest first; one may be empty where all its mails are too old."""
        self._fresh = False
        self._wire.news = False
        if at.filters:
            for rows in self._walk.windows(DATES, after=at.uid, until=at.bound):
                at = at.at(rows[-1].uid)
                yield self._window([row for row in rows if at.wants(row.uid, row.received)], at)
        for rows in self._walk.windows(SIZES, after=at.uid):
            # Not further than what was seen: a UID that the server held back for now is not passed over.
            yield self._window(rows, at.at(rows[-1].uid))

    def _window(self, rows: list[Row], at: Cursor) -> Window:
        return Window(refs=tuple(ref_of(self._folder, row) for row in rows), cursor=str(at))

    def baseline(self, *, since: int | None) -> Cursor:
        """See `Source.baseline`."""
        last = self._walk.last_uid()
        if since is None:
            return Cursor(uid_validity=self._folder.uid_validity, uid=last)
        return Cursor(uid_validity=self._folder.uid_validity, uid=0, bound=last, since=since)


def ref_of(folder: Folder, row: Row) -> Ref:
    """The mail of a row."""
    return Ref(key=key_of(folder.uid_validity, row.uid), uid=row.uid, size=max(row.size, 0))


def _beyond(at: Cursor) -> bytes:
    """Criteria of SEARCH for what lies beyond a cursor."""
    beyond = b"UID %d:%d" % (at.uid + 1, HIGHEST_UID)
    if not at.filters:
        return beyond
    day = datetime.fromtimestamp(at.since, UTC)
    date = f"{day.day}-{_MONTHS[day.month - 1]}-{day.year}".encode()
    return beyond + b" NOT (UID %d:%d BEFORE %s)" % (at.uid + 1, at.bound, date)


def _is_search(text: bytes) -> bool:
    return text.upper().startswith(b"* SEARCH")
