"""Phase Baseline: where a mailbox begins whose old mails are not wanted (`spec.backlog`, `store.md` 41)."""

from collections.abc import Callable
from datetime import UTC, datetime

from mailfetch_fetcher.contract.spec import Backlog
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, LogLine

BASELINE = "Baseline"
STEADY = "Steady"


def since_of(backlog: Backlog) -> int | None:
    """Seconds since 1970 from which on mails are wanted; None: none that is there now.

    Raises:
        ValueError: `since` is no date.
    """
    if backlog.start_from != "Since":
        return None
    return int(datetime.strptime(backlog.since, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())


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
    found = source.baseline(since=since_of(backlog))
    count = 0
    if source.by_name:
        stage = mailbox.stage()
        stage.begin()
        for names in found.old:
            check()
            stage.add(names)
            count += len(names)
    detail = f"spec.backlog.startFrom {backlog.start_from} {backlog.since}".rstrip()
    line = LogLine(step="baseline", fields={"detail": f"{detail}; {count} old mails noted" if count else detail})
    mailbox.commit(Batch(cursor=found.cursor, phase=STEADY, staged=source.by_name, log=[line]))
