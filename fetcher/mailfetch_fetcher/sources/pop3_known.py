"""What the ledger knows of the listed mails: each name is asked for until it is known, and then not again.

The answers hold for the life of one source: a session that failed makes a new one, so nothing in memory outlives a
failure (`store.md` I13). A name that is not listed any more is forgotten, as the ledger may forget it then.
"""

from collections.abc import Iterator, Sequence

from mailfetch_fetcher.sources.pop3_listing import Maildrop
from mailfetch_fetcher.sources.source import Known

ASKED = 20_000
"""Names that the ledger is asked for at once."""


class KnownNames:
    """Asks, and keeps the names that are known."""

    def __init__(self) -> None:
        self._known: Known | None = None
        self._names: set[bytes] = set()

    def keep_listed(self, maildrop: Maildrop) -> None:
        """Forgets what is not listed any more."""
        self._names.intersection_update(map(maildrop.name, range(len(maildrop))))

    def unknown(self, maildrop: Maildrop, known: Known) -> Iterator[list[int]]:
        """Positions of the mails that the ledger does not know, in pieces."""
        self._known = known
        for start in range(0, len(maildrop), ASKED):
            piece = range(start, min(start + ASKED, len(maildrop)))
            asked = [at for at in piece if maildrop.name(at) not in self._names]
            if not asked:
                continue
            answers = known([maildrop.name(at) for at in asked])
            self._names.update(maildrop.name(at) for at, is_known in zip(asked, answers, strict=True) if is_known)
            if unknown := [at for at, is_known in zip(asked, answers, strict=True) if not is_known]:
                yield unknown

    def are_known(self, names: Sequence[bytes]) -> bool:
        """The ledger knows all of these; not if there was no look at it yet."""
        asked = [name for name in names if name not in self._names]
        return not asked or (self._known is not None and all(self._known(asked)))
