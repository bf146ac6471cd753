"""`tools purge`: removes mails from the queue, or lines from the log. Never what downloading stands on."""

from collections import Counter
from collections.abc import Iterable, Sequence

from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.outbox import queue_entry
from mailfetch_fetcher.tools.find import find_all, only
from mailfetch_fetcher.tools.log import LogFilter, line_of
from mailfetch_fetcher.tools.model import Filter, Mail, Purged
from mailfetch_fetcher.tools.opened import ENTRIES, LINES, Opened, fields_of, text
from mailfetch_fetcher.tools.overview import read_overview
from mailfetch_fetcher.tools.queue import walk

_MOST = 5
"""Reasons that are told."""


class Tally:
    """What came of a purge so far."""

    def __init__(self) -> None:
        self.matched = 0
        self.purged = 0
        self.kept: Counter[str] = Counter()

    def result(self) -> Purged:
        """As it is printed."""
        reasons = self.kept.most_common(_MOST)
        why = "; ".join(f"{count} {reason}" for reason, count in reasons)
        return Purged(matched=self.matched, purged=self.purged, kept=self.kept.total(), why=why)


def purge_refs(streams: Sequence[Opened], refs: Sequence[str], *, dry_run: bool) -> Purged:
    """Removes the mails that are named, whatever still waits for them.

    Raises:
        NoSuchMail: one of them is not there; nothing was removed.
        Ambiguous: one of them names several; nothing was removed.
        StoreError: Redis refuses, or the link failed; begin again.
    """
    tally = Tally()
    chosen = {mail.entry or ref: (opened, mail) for ref, (opened, mail) in _all(streams, refs).items()}
    for opened, mail in chosen.values():
        tally.matched += 1
        if not mail.entry:
            name = mail.fields["connection"]
            tally.kept[f"in quarantine, not in the queue (kubectl mailfetch refetch {name} quarantined)"] += 1
        else:
            tally.purged += 1 if dry_run else _remove(opened, [mail])
    return tally.result()


def purge_queue(streams: Sequence[Opened], *, wanted: Filter, dry_run: bool) -> Purged:
    """Removes the mails that a filter means, except (unless it names their state) those that somebody still needs.

    People still need what a consumer put aside: it waits for them.

    Raises:
        StoreError: Redis refuses, or the link failed; begin again.
    """
    tally = Tally()
    for opened in streams:
        overview = read_overview(opened)
        needed = {} if wanted.states else _needed(opened, overview.connections)
        chosen: list[Mail] = []
        for mail in walk(opened, overview, states=wanted.states or frozenset({"New", "Done"})):
            if not wanted.fits(mail):
                continue
            tally.matched += 1
            reason = "" if wanted.states else why_kept(mail, needed)
            if reason:
                tally.kept[reason] += 1
                continue
            chosen.append(mail)
            if len(chosen) == ENTRIES:
                tally.purged += len(chosen) if dry_run else _remove(opened, chosen)
                chosen = []
        tally.purged += len(chosen) if dry_run or not chosen else _remove(opened, chosen)
    return tally.result()


def purge_log(streams: Sequence[Opened], *, wanted: LogFilter, dry_run: bool) -> Purged:
    """Removes lines of the log; as `purge_queue`."""
    tally = Tally()
    for opened in streams:
        start = "-"
        while start:
            found = opened.call("XRANGE", opened.keys.log, start, "+", "COUNT", LINES)
            ids = [text(line) for line, flat in found if wanted.fits(line_of(opened, text(line), fields_of(flat)))]
            tally.matched += len(ids)
            if ids:
                tally.purged += len(ids) if dry_run else opened.call("XDEL", opened.keys.log, *ids)
            start = f"({text(found[-1][0])}" if len(found) == LINES else ""
    return tally.result()


def why_kept(mail: Mail, needed: dict[str, str]) -> str:
    """Who still needs a mail; empty: nobody."""
    if mail.held:
        return f"not acknowledged by consumer group {mail.held[0].group}"
    if mail.waits is not None:
        return f"not yet delivered to consumer group {mail.waits}" if mail.waits else "not delivered to anybody"
    if mail.entry in needed:
        return f"needed by an after-download action of connection {needed[mail.entry]}"
    if mail.verdict.state != "Done":
        state = mail.verdict.state
        return f"{state}, waiting for people (--state {state.lower()} removes them)"
    return ""


def _all(streams: Sequence[Opened], refs: Sequence[str]) -> dict[str, tuple[Opened, Mail]]:
    return {ref: only(ref, found) for ref, found in find_all(streams, refs).items()}


def _needed(opened: Opened, connections: Iterable[str]) -> dict[str, str]:
    """Entry → connection that has an after-download action for it.

    Whatever is needed was so when its entry came, so looking before the walk is enough.
    """
    needed: dict[str, str] = {}
    for name in connections:
        start = "-inf"
        while start:  # by score: unlike ranks, scores stay when others leave
            found = opened.call(
                *("ZRANGE", opened.keys.connection(name).outbox, start, "+inf", "BYSCORE"),
                *("LIMIT", 0, LINES, "WITHSCORES"),
            )
            members = found[::2]
            needed.update({entry: name for member in members if (entry := queue_entry(text(member)))})
            start = f"({text(found[-1])}" if len(members) == LINES else ""
    return needed


def _remove(opened: Opened, mails: Sequence[Mail]) -> int:
    """Removes entries and marks, then blobs, and acknowledges them: nobody is handed what is gone."""
    keys = opened.keys
    blobs = [mail.fields["blob"] for mail in mails if mail.fields.get("blob")]
    ids = [blob.removeprefix(keys.blob("")) for blob in blobs]
    args = [len(blobs), *ids, *(mail.entry for mail in mails)]
    return int(opened.run(scripts.PURGE_ENTRIES, keys=[keys.queue, keys.marks, keys.blobs, *blobs], args=args))
