"""Which mails of a Graph mailbox a request means, read as they are wanted: no more than a page of them is kept.

What follows is asked for by its time and not by a link, which only counts places: so each mail that stays is told once,
whatever comes and leaves meanwhile.
"""

from collections.abc import Iterator, Mapping

from mailfetch_fetcher.sources import since
from mailfetch_fetcher.sources.base import Window
from mailfetch_fetcher.sources.graph_pages import Entry, Pages
from mailfetch_fetcher.sources.source import Known


def read_since(wanted: str) -> float:
    """See `since.read_since`."""
    return since.read_since(
        wanted,
        otherwise=f"Microsoft Graph cannot select '{wanted}': its mails have no UIDs; use since:YYYY-MM-DD (by the "
        "time at which they were received) or quarantined",
    )


class Selection:
    """The known mails that were received since a moment, in the order of their times and keys.

    Attributes:
        cursors: Of the window that was handed out last: the cursor behind each mail, by its key.
    """

    def __init__(self, pages: Pages, *, known: Known) -> None:
        """Reads nothing yet.

        Args:
            pages: The folder.
            known: The ledger.
        """
        self._pages = pages
        self._known = known
        self.cursors: Mapping[str, str] = {}

    def windows(self, start: float, *, after: str) -> Iterator[Window]:
        """The mails.

        Args:
            start: Seconds since 1970.
            after: The cursor behind the last one that is not wanted any more; empty: all are.

        Raises:
            SourceError: they cannot be listed.
        """
        at = _read(after)
        for entries in self._seconds(max(int(start), at[0])):
            entries = sorted((entry for entry in entries if _place(entry) > at), key=_place)
            if not entries:
                continue
            self.cursors = {entry.key: _write(entry) for entry in entries}
            answers = self._known([entry.name for entry in entries])
            refs = tuple(entry.ref for entry, is_known in zip(entries, answers, strict=True) if is_known)
            yield Window(refs=refs, cursor=_write(entries[-1]))

    def _seconds(self, start: int) -> Iterator[list[Entry]]:
        """Mails in the order of time; all of a second together."""
        more = True
        while more:
            found, more = self._pages.since(start)
            if more:
                start = found[-1].received or 0
                found = [entry for entry in found if entry.received != start]
            yield found


def _place(entry: Entry) -> tuple[int, str]:
    return entry.received or 0, entry.key


def _write(entry: Entry) -> str:
    return f"{entry.received or 0} {entry.key}"


def _read(cursor: str) -> tuple[int, str]:
    second, _, key = cursor.partition(" ")
    return (int(second), key) if second.isdecimal() else (0, "")
