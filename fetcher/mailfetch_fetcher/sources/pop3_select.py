"""Which mails of a listing are meant: by the header Date for `startFrom: Since` and for `refetch` (confidence Low)."""

from collections.abc import Iterator

from mailfetch_fetcher.sources import since
from mailfetch_fetcher.sources.pop3_identity import written
from mailfetch_fetcher.sources.pop3_session import Pop3Session
from mailfetch_fetcher.sources.pop3_wire import AHEAD


def read_since(wanted: str) -> float:
    """See `since.read_since`."""
    return since.read_since(
        wanted,
        otherwise=f"POP3 cannot select '{wanted}': its mails have no lasting numbers; use since:YYYY-MM-DD (by the "
        "mails' own Date header) or quarantined",
    )


def old_positions(session: Pop3Session, since: float) -> Iterator[list[int]]:
    """Positions of the mails that were certainly written before, in pieces; an unknown date is never old.

    Whole mails are not retrieved for it: without TOP every date is unknown.
    """
    numbers = session.maildrop.numbers
    for start in range(0, len(numbers), AHEAD):
        heads = session.heads(numbers[start : start + AHEAD], retrieve=False)
        dates = (None if head is None else written(head) for head in heads)
        yield [at for at, date in enumerate(dates, start) if date is not None and date < since]
