"""Phase Baseline: where a mailbox begins whose old mails are not wanted (`spec.backlog`, `store.md` 41).

The old mails enter the ledger, on IMAP too: if the server numbers its mails anew one day, they are recognised like
those that were downloaded.
"""

from collections.abc import Callable, Iterator

from mailfetch_fetcher.contract.spec import Backlog
from mailfetch_fetcher.contract.units import day
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import STEADY, Batch, LogLine
from mailfetch_fetcher.store.stage import Stage


def since_of(backlog: Backlog) -> int | None:
    """Seconds since 1970 from which on mails are wanted; None: none that is there now.

    Raises:
        ValueError: `since` is no date.
    """
    if backlog.start_from != "Since":
        return None
    return day(backlog.since)


def carry_out(source: Source, mailbox: Mailbox, backlog: Backlog, *, check: Callable[[], None]) -> None:
    """Notes where to begin; after a crash it is done anew.

    Args:
        source: The open mailbox.
        mailbox: Its state, in phase Baseline.
        backlog: What is wanted.
        check: Sign of life.
    """
    if backlog.start_from == "Beginning":  # the spec has changed before anything was done
        mailbox.commit(Batch(phase=STEADY))
        return
    stage = mailbox.stage()
    stage.begin()
    old = _named(source, stage, backlog) if source.by_name else _recognised(source, stage, backlog)
    cursor, count = "", 0
    for at, names in old:
        check()
        cursor, count = at, count + names
    detail = f"spec.backlog.startFrom {backlog.start_from} {backlog.since}".rstrip()
    line = LogLine(step="baseline", fields={"detail": f"{detail}; {count} old mails noted"})
    mailbox.commit(Batch(cursor=cursor, phase=STEADY, staged=True, log=[line]))


def _named(source: Source, stage: Stage, backlog: Backlog) -> Iterator[tuple[str, int]]:
    """Enters old mails by their names; gives the cursor to begin with and the number of mails, in pieces."""
    found = source.baseline(since=since_of(backlog))
    yield found.cursor, 0
    for names in found.old:
        stage.add(names)
        yield found.cursor, len(names)


def _recognised(source: Source, stage: Stage, backlog: Backlog) -> Iterator[tuple[str, int]]:
    """The same on IMAP, where the ledger holds what recognises a mail.

    With `Since` a mail that comes meanwhile may be entered and be downloaded all the same, which does no harm.
    """
    since = since_of(backlog)
    cursor = "" if since is None else source.baseline(since=since).cursor
    for piece in source.listing():
        old = [m.name for m in piece.mails if since is None or (m.received is not None and m.received < since)]
        stage.walk(old)
        yield cursor or piece.cursor, len(old)
