"""What is new in a Graph folder: the pages of changes compared with the ledger, and windows made of them.

A link that has expired (410) means a round from the beginning, in which the ledger tells what is new. It begins with
the next look, so that a flood of mails under new names is noticed before anything is downloaded.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import Baseline, Snapshot, Window
from mailfetch_fetcher.sources.graph_cursor import Cursor, decode
from mailfetch_fetcher.sources.graph_pages import Entry, Page, Pages, SyncLost
from mailfetch_fetcher.sources.source import Known

KEPT = 20
"""Pages that are read ahead to count what is new, and kept until they are downloaded."""
FAR = 200
"""Pages that are read to tell people how much is new."""
COUNTED = 20_000
"""Mails that are compared with the ledger to count what is new, at most."""
HANDED_OUT = 5_000
"""Mails that may be on their way into the ledger when the next page is compared with it; more than ever are."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the page says from which mails are being taken.

    Attributes:
        entries: Its unknown mails, by key, without those that it also tells to have left.
        first: It is of the first round, which this connection has read from its beginning: none of its mails was here
            before, and was forgotten.
        cursor: The cursor as long as not all of its mails are committed.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    first: bool = False
    cursor: str = ""


class Changes:
    """Of one folder, as long as a connection lives.

    Attributes:
        told: The page that was handed out last.
        more: A link had expired: it begins anew with the next look.
    """

    def __init__(self, pages: Pages, *, total: Callable[[], int], place: str, moved: set[str]) -> None:
        """Reads nothing yet.

        Args:
            pages: The folder.
            total: Asks how many things it holds.
            place: See `Cursor`.
            moved: Ids of mails that we moved away; what was told of is taken out.
        """
        self._pages = pages
        self._total = total
        self._start = Cursor(place=place)
        self._moved = moved
        self._kept: list[Page] = []
        self._lost = ""
        self._handed_out: dict[str, None] = {}
        self.told = Told()
        self.more = False

    def look(self, cursor: str, known: Known, *, far: bool) -> Snapshot:
        """Counts what is new; what is read for it is kept for `windows`, unless it is `far`."""
        start, self._kept = self._begin(cursor), []
        if start.link:
            try:
                look = self._look_ahead(start, known, most=FAR if far else KEPT)
            except SyncLost as e:
                self._lost, self._kept = e.link, []
            else:
                if look.exact or not look.new:
                    return look
        return self._compare(known)  # behind the pages that were read everything may be new

    def windows(self, cursor: str, known: Known) -> Iterator[Window]:
        """A window for each page behind the cursor."""
        self.more = False
        start = self._begin(cursor)
        first = not start.link and not start.again
        try:
            for page in self._follow(start):
                yield self._window(page, known, first=first)
        except SyncLost as e:
            self._lost, self.more = e.link, True

    def baseline(self, since: int | None) -> Baseline:
        """See `Source`."""
        return Baseline(cursor=self._start.encode(), old=self._old_names(since))

    # ---- counting ----

    def _look_ahead(self, start: Cursor, known: Known, *, most: int) -> Snapshot:
        """Of the next pages. The folder is asked only if there is something."""
        new: set[str] = set()
        exact = False
        for page in islice(self._pages.changes(start), most):
            if len(self._kept) < KEPT:
                self._kept.append(page)
            new.update(entry.id for entry in _unknown(page, known))
            exact = page.last
        total = max(self._total(), len(new)) if new or not exact else 0
        return Snapshot(new=len(new), total=total, unseen=-1, exact=exact, known=total - len(new))

    def _compare(self, known: Known) -> Snapshot:
        """Of the whole folder; of a very large one from its newest mails."""
        compared = unknown = 0
        for entries in self._pages.listed():
            compared += len(entries)
            unknown += known([entry.name for entry in entries]).count(False)
            if compared >= COUNTED:
                break
        else:
            return Snapshot(new=unknown, total=compared, unseen=-1, exact=True, known=compared - unknown)
        total = max(self._total(), compared)
        new = unknown * total // compared
        return Snapshot(new=new, total=total, unseen=-1, exact=False, known=total - new)

    # ---- pages ----

    def _begin(self, cursor: str) -> Cursor:
        found = decode(cursor, place=self._start.place)
        return Cursor(place=found.place, again=True) if found.link and found.link == self._lost else found

    def _follow(self, start: Cursor) -> Iterator[Page]:
        """The pages that were read ahead, if they are these, then the others."""
        kept, self._kept = self._kept, []
        if kept and kept[0].before == start:
            yield from kept
            if kept[-1].last:
                return
            start = kept[-1].cursor
        yield from self._pages.changes(start)

    def _window(self, page: Page, known: Known, *, first: bool) -> Window:
        gone = tuple(self._gone(page, known))
        unknown = [entry for entry in _unknown(page, known) if entry.id not in self._handed_out]
        self._handed_out.update((entry.id, None) for entry in unknown)
        for id_ in list(islice(self._handed_out, max(0, len(self._handed_out) - HANDED_OUT))):
            del self._handed_out[id_]
        entries = {entry.key: entry for entry in unknown if entry.id not in page.removed}
        self.told = Told(entries=entries, first=first, cursor=page.before.encode())
        return Window(refs=tuple(entry.ref for entry in unknown), cursor=page.cursor.encode(), gone=gone)

    def _gone(self, page: Page, known: Known) -> Iterator[bytes]:
        """Names of mails that are proven to have left: known ones, and those that are on their way into the ledger.

        That they left may be an old word, told again, about one that has come back and was downloaded again since: so
        each is looked for, unless it was moved by ourselves and this is the first word of it.
        """
        names = [id_.encode("ascii") for id_ in page.removed]
        for id_, name, is_known in zip(page.removed, names, known(names), strict=True):
            ours = id_ in self._moved
            self._moved.discard(id_)
            counts = is_known or id_ in self._handed_out
            if counts and (ours or not self._pages.holds(self._pages.look(id_))):
                yield name

    def _old_names(self, since: int | None) -> Iterator[list[bytes]]:
        """Without those that may have left already: one that comes back is new.

        Raises:
            SourceError: a link has expired; a baseline is always made as a whole.
        """
        try:
            for page in self._pages.changes(self._start):
                old = (e for e in page.entries if since is None or (e.received is not None and e.received < since))
                yield [entry.name for entry in old if entry.id not in page.removed]
        except SyncLost:
            text = "Microsoft Graph lost the list of mails while it was read for spec.backlog; it is read anew"
            raise SourceError("ConnectionFailed", text) from None


def _unknown(page: Page, known: Known) -> list[Entry]:
    answers = known([entry.name for entry in page.entries])
    return [entry for entry, is_known in zip(page.entries, answers, strict=True) if not is_known]
