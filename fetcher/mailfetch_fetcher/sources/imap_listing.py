"""Recognising mails by their content: the whole folder, a sample of it, or what a `refetch` request names."""

import re
from collections.abc import Iterator

from mailfetch_fetcher.contract.units import day
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.base import Listed, Listing, Window
from mailfetch_fetcher.sources.imap_answers import uid_and_size, uid_set
from mailfetch_fetcher.sources.imap_cursor import HIGHEST_UID, Cursor, read_cursor
from mailfetch_fetcher.sources.imap_discover import DATES, ref_of
from mailfetch_fetcher.sources.imap_folders import Folder
from mailfetch_fetcher.sources.imap_look import Seen, identities, look
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_walk import SIZES, Row, Walk
from mailfetch_fetcher.sources.imap_wire import Refused, Wire

_GIVE_UP = 3
"""Mails that the server does not show, one after the other and none before, until it shows none at all."""
_RANGE = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?")
_FORMS = "write uid:5,7-9 or since:2026-01-31"


class Listings:
    """Lists one open folder."""

    def __init__(self, wire: Wire, *, walk: Walk, folder: Folder, settings: ImapSettings, object_item: bytes) -> None:
        self._wire = wire
        self._walk = walk
        self._folder = folder
        self._settings = settings
        self._object_item = object_item

    def listing(self) -> Iterator[Listing]:
        """See `Source.listing`; an empty folder is one empty piece."""
        cursor = Cursor(uid_validity=self._folder.uid_validity, uid=0)
        came = False
        for rows in self._walk.windows(identities(object_item=self._object_item), after=0):
            came = True
            seen = self._looked([row.uid for row in rows if not row.identity])
            mails = tuple(self._listed(row, seen.get(row.uid)) for row in rows)
            yield Listing(mails=mails, cursor=str(cursor.at(rows[-1].uid)))
        if not came:
            yield Listing(mails=(), cursor=str(cursor))

    def _listed(self, row: Row, seen: Seen | None) -> Listed:
        ref = ref_of(self._folder, row)
        if seen:
            return Listed(ref=ref, name=seen.identity, received=seen.received)
        # A mail that the server does not show has a name that fits none of the ledger, so that it is asked for.
        return Listed(ref=ref, name=row.identity or b"unseen " + ref.key.encode(), received=row.received)

    def _looked(self, uids: list[int]) -> dict[int, Seen]:
        """Mails by their whole header; what is refused in common is asked for in halves."""
        found: dict[int, Seen] = {}
        groups = [uids] if uids else []
        refused = 0
        while groups:
            group = groups.pop()
            try:
                found |= look(self._wire, group, object_item=self._object_item)
            except Refused as e:
                refused += len(group) == 1
                self._endure(e, all_of_them=refused >= _GIVE_UP and not found)
                if len(group) > 1:
                    middle = len(group) // 2
                    groups += [group[middle:], group[:middle]]
        return found

    def _endure(self, refusal: Refused, *, all_of_them: bool) -> None:
        """One refused mail is a matter of that mail."""
        address = self._settings.address
        error = errors.throttled(address, refusal.text)
        if error and (all_of_them or not errors.unavailable(refusal.text)):
            raise error from refusal
        if all_of_them:
            raise errors.refused(address, "show the headers of the mails", refusal.text) from refusal

    # ---- a sample ----

    def sample(self, cursor: str, count: int) -> list[bytes]:
        """See `Source.sample`.

        Mails are chosen by their place in the folder, the only numbers that are dense; their UIDs come with the answer.
        """
        up_to = read_cursor(cursor).uid
        total = self._wire.exists
        if not total or not up_to or count < 1:
            return []
        # Most of the folder may lie beyond the cursor: so the first ones, too.
        places = {1 + k * (total - 1) // count for k in range(count + 1)} | set(range(1, min(count, total) + 1))
        answers = self._wire.run(b"FETCH %s (UID)" % uid_set(sorted(places)))
        uids = {uid_and_size(a.text)[0] for a in answers if a.is_fetch}
        chosen = _spread(sorted(uid for uid in uids if 0 < uid <= up_to), count)
        return [mail.identity for mail in look(self._wire, chosen, object_item=self._object_item).values()]

    # ---- a request ----

    def select(self, wanted: str, *, after: str, until: int) -> Iterator[Window]:
        """See `Source.select`; no mail above the UID `until`."""
        at = read_cursor(after)
        if at.uid_validity not in (0, self._folder.uid_validity):
            raise ValueError("the server has numbered the mails anew since (UIDVALIDITY); make a new request")
        kind, _, value = wanted.partition(":")
        if kind == "uid":
            return self._ranges(_ranges(value), after=at.uid, until=until)
        if kind == "since":
            return self._since(_day(value), after=at.uid, until=until)
        raise ValueError(f"'{wanted}' is not understood; {_FORMS}")

    def _ranges(self, ranges: list[tuple[int, int]], *, after: int, until: int) -> Iterator[Window]:
        for low, high in ranges:
            first, last = max(low - 1, after), min(high, until)
            for rows in self._walk.windows(SIZES, after=first, until=last) if first < last else ():
                yield self._window(rows, rows[-1].uid)

    def _since(self, since: int, *, after: int, until: int) -> Iterator[Window]:
        for rows in self._walk.windows(DATES, after=after, until=until) if after < until else ():
            chosen = [row for row in rows if row.received is None or row.received >= since]
            if chosen:
                yield self._window(chosen, rows[-1].uid)

    def _window(self, rows: list[Row], uid: int) -> Window:
        cursor = Cursor(uid_validity=self._folder.uid_validity, uid=uid)
        return Window(refs=tuple(ref_of(self._folder, row) for row in rows), cursor=str(cursor))


def _spread(uids: list[int], count: int) -> list[int]:
    """At most so many of them, from the first to the last."""
    if len(uids) <= count:
        return uids
    return sorted({uids[k * (len(uids) - 1) // max(count - 1, 1)] for k in range(count)})


def _ranges(text: str) -> list[tuple[int, int]]:
    """`5,7-9` as ascending ranges that do not touch."""
    ranges: list[tuple[int, int]] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 0 < low <= high <= HIGHEST_UID:
            raise ValueError(f"'{part}' is no UID and no range of UIDs; {_FORMS}")
        ranges.append((low, high))
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return joined


def _day(text: str) -> int:
    """As `day`; the text of the error says what else can be asked for."""
    try:
        return day(text)
    except ValueError as e:
        raise ValueError(f"'{text}' is no date; {_FORMS}") from e
