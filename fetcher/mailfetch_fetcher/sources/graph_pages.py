"""Mails as Graph lists them: pages of changes (delta query), pages of a list, single ones.

A page of changes may hold the same mail twice, be empty, or repeat what was told before, in any order
(learn.microsoft.com "Use delta query to track changes"): so each page is folded first, one entry a mail.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from mailfetch_fetcher.sources import graph_errors as errors
from mailfetch_fetcher.sources.base import Ref
from mailfetch_fetcher.sources.graph_chain import Chain
from mailfetch_fetcher.sources.graph_cursor import Cursor, local
from mailfetch_fetcher.sources.graph_errors import Refused
from mailfetch_fetcher.sources.graph_folders import Folder, following, values
from mailfetch_fetcher.sources.graph_http import GraphHttp
from mailfetch_fetcher.sources.graph_settings import GraphSettings

LISTED = 1000
"""Mails of one page of a list, the most that Graph gives."""
TYPICAL = 64 << 10
"""Bytes: Graph tells no sizes, so this stands for them where memory is shared out."""
_SELECT = "$select=id,isRead,receivedDateTime,createdDateTime,parentFolderId"


class SyncLost(Exception):
    """Graph has forgotten what this link stands for: everything must be gone through from the beginning."""

    def __init__(self, link: str) -> None:
        super().__init__("the link has expired")
        self.link = link


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A mail, as far as it was told: an update may lack everything but the id.

    Attributes:
        id: Its immutable id.
        read: It was read.
        received: When it came, seconds since 1970.
        created: When it was made in this mailbox, which is later for a mail that was imported or copied.
        folder: Id of its folder; empty: not told.
    """

    id: str
    read: bool = False
    received: int | None = None
    created: int | None = None
    folder: str = ""

    @property
    def name(self) -> bytes:
        """Its name for the ledger."""
        return self.id.encode("ascii")

    @property
    def key(self) -> str:
        """`Ref.key`. There is one mail of an id, so the occurrence is always 1."""
        return f"{quote(self.id, safe='=')}/1"

    @property
    def ref(self) -> Ref:
        """Names it."""
        return Ref(key=self.key, uid=0, size=TYPICAL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page of changes.

    Attributes:
        entries: Mails that are there, one entry each, oldest first.
        removed: Ids of mails that left the folder; `entries` may tell of them too.
        before: Cursor of the page.
        cursor: Cursor of what follows.
        last: Nothing follows for now.
    """

    entries: Sequence[Entry]
    removed: Sequence[str]
    before: Cursor
    cursor: Cursor
    last: bool


def id_of(key: str) -> str:
    """The id behind a `Ref.key`."""
    return unquote(key.rpartition("/")[0])


def message_path(settings: GraphSettings, id_: str) -> str:
    """Path of a mail, whatever its folder."""
    return f"{settings.base}/messages/{quote(id_, safe='')}"


def fold(found: Sequence[dict[str, Any]]) -> tuple[list[Entry], list[str]]:
    """Mails of a page, and ids of those that left; of a mail told twice the later word counts.

    Which word counts of a mail that is told to be there and to have left cannot be said from the page, whose order
    means nothing: it is in both lists, and is to be looked for.
    """
    told: dict[str, dict[str, Any]] = {}
    removed: dict[str, None] = {}
    for value in found:
        if "@removed" in value:
            removed[value["id"]] = None
        else:
            told[value["id"]] = told.get(value["id"], {}) | value
    entries = sorted(map(entry_of, told.values()), key=lambda entry: (entry.received or 0, entry.id))
    return entries, list(removed)


def entry_of(value: dict[str, Any]) -> Entry:
    """The entry behind an object of Graph."""
    return Entry(
        id=value["id"],
        read=value.get("isRead") is True,
        received=moment(value.get("receivedDateTime")),
        created=moment(value.get("createdDateTime")),
        folder=str(value.get("parentFolderId") or ""),
    )


def moment(value: object) -> int | None:
    """Seconds since 1970 of a time such as 2026-01-31T08:15:00Z; None if it is none."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return int(found.replace(tzinfo=found.tzinfo or UTC).timestamp()) if found else None


class Pages:
    """Of one folder."""

    def __init__(self, http: GraphHttp, settings: GraphSettings, folder: Folder) -> None:
        self._http = http
        self._settings = settings
        self._folder = folder
        self._called = ""
        self._proven = False
        self._messages = f"{settings.base}/mailFolders/{quote(folder.id, safe='')}/messages"

    def changes(self, cursor: Cursor) -> Iterator[Page]:
        """What changed behind the cursor; without a link: everything.

        Raises:
            SyncLost: a link has expired.
            SourceError: it cannot be had.
        """
        last = False
        chain = Chain(cursor.link, self._settings)
        while not last:
            found = self._change(cursor.link or f"{self._messages}/delta?{_SELECT}")
            link = found.get("@odata.nextLink")
            last = link is None
            behind = Cursor(
                place=cursor.place,
                link=local(found.get("@odata.deltaLink") if last else link, self._settings),
                again=cursor.again or last,
            )
            if not last:
                chain.follow(behind.link)
            entries, removed = fold(values(found, self._settings))
            self._prove(entries)
            yield Page(entries=entries, removed=removed, before=cursor, cursor=behind, last=last)
            cursor = behind

    def listed(self) -> Iterator[list[Entry]]:
        """All mails of the folder, newest first. While mails leave it, others may be left out."""
        return self._listed(f"{self._messages}?$select=id,receivedDateTime&$top={LISTED}")

    def since(self, second: int) -> tuple[list[Entry], bool]:
        """The first mails received since then, oldest first, of two seconds at least; and whether others may follow.

        Times are told in seconds and compared more exactly, so all of the last second may be asked for again.
        """
        wanted = f"receivedDateTime ge {datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%SZ}"
        query = f"$select=id,receivedDateTime&$top={LISTED}&$filter={quote(wanted, safe='')}"
        found: list[Entry] = []
        for entries in self._listed(f"{self._messages}?{query}&$orderby=receivedDateTime"):
            found += (entry for entry in entries if entry.received is not None)
            first, last = (found[0].received or 0, found[-1].received or 0) if found else (second, second)
            if not second <= first <= last:
                raise errors.odd(self._settings, "does not list mails by their times")
            if first < last:
                return found, True
        return found, False

    def _listed(self, path: str) -> Iterator[list[Entry]]:
        chain = Chain(path, self._settings)
        while path:
            found = self._list(path)
            yield list(map(entry_of, values(found, self._settings)))
            path = following(found, chain, self._settings)

    def some(self, count: int) -> list[Entry]:
        """A few of the newest mails."""
        found = self._list(f"{self._messages}?$select=id&$top={min(max(count, 1), LISTED)}")
        return list(map(entry_of, values(found, self._settings)))[:count]

    def unread(self) -> int:
        """How many were not read; -1 if Graph does not say."""
        query = f"$filter={quote('isRead eq false', safe='')}&$count=true&$top=1&$select=id"
        count = self._http.get(f"{self._messages}?{query}").get("@odata.count")
        return count if isinstance(count, int) and count >= 0 else -1

    def look(self, id_: str) -> Entry | None:
        """A mail as it is now, in whatever folder; None: it is not in the mailbox."""
        try:
            found = self._http.get(f"{message_path(self._settings, id_)}?{_SELECT}")
        except Refused as e:
            if e.not_found:
                return None
            raise
        if found.get("id") != id_:  # another kind of id opens it too
            raise errors.no_lasting_ids(self._settings)
        return entry_of(found)

    def holds(self, entry: Entry | None) -> bool:
        """Whether a mail, as it was found or told, is in this folder.

        A folder may have ids of several spellings, and nobody says which of them its mails know it by: so before one
        counts as being elsewhere, a mail that is in this folder for certain is asked.
        """
        if entry is None or not entry.folder:
            return False
        if entry.folder == self._folder.id:
            return True
        if not self._called:
            found = self._http.get(f"{self._messages}?$select=parentFolderId&$top=1")
            self._called = next((entry_of(value).folder for value in values(found, self._settings)), "")
        return entry.folder == self._called

    def _list(self, path: str) -> dict[str, Any]:
        """Of a list Graph says that its ids are lasting ones."""
        found, lasting = self._http.get_page(path)
        if not lasting:
            raise errors.no_lasting_ids(self._settings)
        return found

    def _prove(self, entries: Sequence[Entry]) -> None:
        """Nobody promises that Graph says of changes too that their ids are lasting ones; else one mail shows it."""
        for entry in () if self._proven else entries:
            if self.look(entry.id):
                self._proven = True
                return

    def _change(self, path: str) -> dict[str, Any]:
        try:
            found, lasting = self._http.get_page(path, most=self._settings.page)
            self._proven = self._proven or lasting
            return found
        except Refused as e:
            if e.sync_lost and "?$select" not in path:
                raise SyncLost(path) from e
            raise
