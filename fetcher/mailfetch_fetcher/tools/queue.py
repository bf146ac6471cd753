"""`tools queue`: the mails of the Incoming Mail Queue, newest first, and how many there are in each state."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mailfetch_fetcher.contract.tools import STATES
from mailfetch_fetcher.store import scripts
from mailfetch_fetcher.store.groups import SENTINEL
from mailfetch_fetcher.store.quarantine import read_quarantine
from mailfetch_fetcher.tools.model import (
    Filter,
    Group,
    Held,
    Mail,
    Queue,
    Verdict,
    entry_of,
    parse_id,
    time_of,
)
from mailfetch_fetcher.tools.opened import ENTRIES, Opened, fields_of, text
from mailfetch_fetcher.tools.overview import Overview, groups_of, read_overview
from mailfetch_fetcher.tools.states import behind, judge, waits_for


def read_queue(streams: Sequence[Opened], *, wanted: Filter, limit: int) -> Queue:
    """The newest mails of some streams.

    Args:
        streams: The streams.
        wanted: Which mails; without states all but Done. The counts are of all mails of its connection.
        limit: Most mails.

    Raises:
        StoreError: Redis refuses, or the link failed.
    """
    states = wanted.states or frozenset(STATES) - {"Done"}
    wanted = replace(wanted, states=states)
    mails: list[Mail] = []
    counts = dict.fromkeys(STATES, 0)
    groups: list[Group] = []
    for opened in streams:
        overview = read_overview(opened)
        aside = [mail for mail in quarantined(opened, overview.connections) if _of(mail, wanted.connection)]
        found, counted = _look(opened, overview, wanted=wanted, limit=limit)
        mails += [*found, *(mail for mail in aside if wanted.fits(mail))]
        counted["Quarantined"] += len(aside)
        counts = {state: counts[state] + counted[state] for state in STATES}
        groups += _groups(opened, overview)
    mails.sort(key=lambda mail: (mail.milliseconds, parse_id(mail.entry)), reverse=True)
    return Queue(
        entries=[entry_of(mail) for mail in mails[:limit]], counts=counts, groups=groups, truncated=len(mails) > limit
    )


def walk(opened: Opened, overview: Overview, *, states: frozenset[str]) -> Iterator[Mail]:
    """All mails of the queue that may be in one of these states, newest first; others may come too.

    Only Done and New can be in any number without being noted anywhere: for anything else nothing but what is marked or
    pending is looked at.
    """
    last = behind(overview.groups, overview.named)
    bound = "-" if "Done" in states or last is None else f"({last.last}"
    if not states & {"New", "Done"}:
        bound = ""
    if bound:
        yield from _pages(opened, overview.named, end=bound)
    if bound == "-":
        return
    passed = parse_id(bound.removeprefix("(")) if bound else (1 << 64, 0)
    rest = [entry for entry in overview.noted() if parse_id(entry) <= passed]
    yield from by_ids(opened, overview.named, rest)


def by_ids(opened: Opened, named: Sequence[str], entries: Sequence[str]) -> Iterator[Mail]:
    """The mails of these entries, as far as they are there, in their order.

    Args:
        opened: The stream.
        named: The groups that count.
        entries: The entries.
    """
    for i in range(0, len(entries), ENTRIES):
        yield from _run(opened, named, ["ids", *entries[i : i + ENTRIES]])[1]


def quarantined(opened: Opened, connections: Iterable[str]) -> list[Mail]:
    """What is in quarantine of these connections."""
    found = []
    for name in connections:
        for record in read_quarantine(opened.link, keys=opened.keys.connection(name)):
            fields = {"id": record.ref, "connection": name, "uid": str(record.uid), "size": str(record.size)}
            since = record.since * 1000
            verdict = Verdict(state="Quarantined", reason=record.detail, marked_at=time_of(since))
            stream = opened.keys.stream
            found.append(Mail(entry="", stream=stream, fields=fields, verdict=verdict, milliseconds=since))
    return found


def _pages(opened: Opened, named: Sequence[str], *, end: str) -> Iterator[Mail]:
    start = "+"
    while start:
        start, mails = _run(opened, named, ["page", start, end, ENTRIES])
        yield from mails


def _run(opened: Opened, named: Sequence[str], args: list[Any]) -> tuple[str, list[Mail]]:
    keys = opened.keys
    following, flat_groups, entries = opened.run(scripts.LOOK, keys=[keys.queue, keys.marks], args=[SENTINEL, *args])
    groups = groups_of(flat_groups)
    mails = []
    for entry, mark, fields, pending in entries:
        held = tuple(Held(group=text(g), consumer=text(c), idle=idle, deliveries=n) for g, c, idle, n in pending)
        verdict = judge(text(entry), mark=text(mark), held=held, groups=groups, named=named)
        mails.append(
            Mail(
                entry=text(entry),
                stream=keys.stream,
                fields=fields_of(fields),
                verdict=verdict,
                held=held,
                waits=waits_for(text(entry), groups=groups, named=named),
                milliseconds=parse_id(text(entry))[0],
            )
        )
    return text(following), mails


def _look(opened: Opened, overview: Overview, *, wanted: Filter, limit: int) -> tuple[list[Mail], dict[str, int]]:
    """One mail more than the limit, if there are so many, and the counts."""
    alone = not wanted.connection or overview.connections == (wanted.connection,)
    counts = overview.counts() if alone else None
    found: list[Mail] = []
    counted = dict.fromkeys(STATES, 0)
    for mail in walk(opened, overview, states=wanted.states if counts else frozenset(STATES)):
        counted[mail.verdict.state] += _of(mail, wanted.connection)
        if len(found) <= limit and wanted.fits(mail):
            found.append(mail)
        if counts and len(found) > limit:
            break
    return found, counts or counted


def _of(mail: Mail, connection: str) -> bool:
    return not connection or mail.fields.get("connection", "") == connection


def _groups(opened: Opened, overview: Overview) -> list[Group]:
    names = sorted(overview.groups.keys() | set(overview.named))
    found = []
    for name in names:
        view = overview.groups.get(name)
        found.append(
            Group(
                stream=opened.keys.stream,
                name=name,
                named=name in overview.named,
                lag=view.lag if view else overview.length,
                pending=view.pending if view else 0,
                consumers=view.consumers if view else 0,
                last_delivered=view.last if view else "0-0",
            )
        )
    return found
