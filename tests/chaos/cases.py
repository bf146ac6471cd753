"""The cases: every point with every fault that makes sense there, over servers, actions and stores in turn."""

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tests.chaos import catalogue
from tests.chaos.catalogue import Action, Point, Server
from tests.chaos.stores import KINDS, Kind

SEED: Final = int(os.environ.setdefault("MAILFETCH_SEED", str(random.randrange(10**6))))
SAMPLE: Final = os.environ.get("MAILFETCH_CHAOS") != "all"
PART, PARTS = (int(n) for n in os.environ.get("MAILFETCH_CHAOS_PART", "1/1").split("/"))
ALONE: Final[tuple[Kind, ...]] = ("valkey9", "redis7")
WATCHED: Final[tuple[Kind, ...]] = ("sentinel",)
CLOCKED: Final[tuple[Kind, ...]] = ("clocked",)
IMPOSSIBLE: Final = {("pop3", "Move"), ("pop3", "MarkSeen")}
"""MarkSeen on POP3 does nothing at the server: it is None."""

SLOW: Final = ("silence", "zombie", "late failover", "master killed", "Redis frozen", "Redis clock -1 h", "thin lines")
"""Faults that take a quarter of a minute."""

COMMON: Final = catalogue.points(catalogue.COMMON)
BLOBS: Final = catalogue.points(catalogue.BLOBS)
MAIL: Final = catalogue.points(catalogue.MAIL)
RESETS: Final = catalogue.points(catalogue.RESETS)
STARTS: Final = catalogue.points(catalogue.STARTS)
GRAPH: Final = catalogue.points(catalogue.GRAPH)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run: at this point, this happens."""

    point: Point
    fault: str
    server: Server
    action: Action
    store: Kind

    @property
    def id(self) -> str:
        """Names it for ever."""
        words = (self.server, self.point.id, self.point.what, self.fault, self.action, self.store)
        return "-".join(word.replace(",", "").replace(" ", "_") for word in words)


def every() -> tuple[Case, ...]:
    """All cases."""
    return (*_of_fetchers(), *_of_lines(), *_of_stores())


def chosen(cases: Sequence[Case], *, seed: int) -> list[Case]:
    """Those of this run: all, or a sample: one for each label; of these the part of this worker."""
    if SAMPLE:
        cases = _sample(cases, random.Random(seed))
    mixed = random.Random(PARTS).sample(cases, len(cases))  # the slow ones stand side by side
    return [case for k, case in enumerate(mixed) if k % PARTS == PART - 1]


def _of_fetchers() -> Iterator[Case]:
    yield from _spread(COMMON, ("kill", "cut", "zombie"))
    yield from _spread(COMMON, ("SIGTERM", "kill, other pod", "silence", "lease lost", "two at once"), one_server=True)
    others = (*BLOBS, *MAIL, *RESETS, *STARTS, *GRAPH)
    yield from _spread(others, ("kill", "cut"))
    yield from _spread(others, ("zombie", "silence"), one_server=True)


def _of_lines() -> Iterator[Case]:
    beginning = _named("c1 lease taken, answer read")
    yield from _spread(beginning, ("slow lines", "thin lines", "truncated"))
    middle = _named(
        "i3 list half read", "i5 inside a mail", "p2 inside a mail", "g2 inside a mail", "c6 commit done, answer unread"
    )
    yield from _spread(middle, ("truncated", "black hole", "all refused"))
    yield from _spread(_named("i3 list read", "g1 page read"), ("removed by others", "more mail"))
    yield from _spread(_named("p1 UIDL half read", "p2 inside a mail", "i5 between two mails"), ("more mail",))
    yield from _spread(_named("r2", "r3"), ("numbered again",), one_server=True)
    late = _named("g3 some committed of a late page", "g4 late link, commit not heard")
    yield from _spread(late, ("all refused",))
    yield from _spread(_named("g1", "g3", "g4", "g6", "g10"), ("link expired",))
    yield from _spread(_named("g1", "g2", "g7", "g8"), ("throttled", "token refused"), one_server=True)


def _of_stores() -> Iterator[Case]:
    deep = tuple(point for point in (*COMMON, *BLOBS) if point.id not in ("c1", "c2", "b1", "b5"))
    yield from _spread(deep, ("Redis killed", "Redis full", "Redis read-only"), stores=ALONE, one_server=True)
    yield from _spread(deep, ("failover",), stores=WATCHED)
    few = _named("c4", "c6", "c10", "c12", "c13")
    yield from _spread(few, ("late failover", "master isolated", "master killed"), stores=WATCHED, one_server=True)
    yield from _spread(few, ("Redis frozen",), stores=ALONE, one_server=True)
    early = _named("c3 second commit not sent", "c6 commit done, answer unread", "c7", "c11 outbox read")
    yield from _spread(early, ("Redis flushed",), stores=ALONE)
    again = [
        replace(point, prepared="known")
        for point in _named("c3 commit not sent", "c6 commit done, answer unread", "c7")
    ]
    yield from _spread(again, ("Redis restored",), stores=ALONE)
    yield from _spread(_named("b3"), ("blob expired",), stores=ALONE)
    ticking = _named("b3", "c6 commit done, answer unread", "c11 outbox read")
    yield from _spread(ticking, ("Redis clock +1 h", "Redis clock -1 h"), stores=CLOCKED)
    yield from _spread(ticking, ("fetcher clock +2 d", "fetcher clock -2 d"), one_server=True)


def _named(*names: str) -> tuple[Point, ...]:
    """The points with these ids, or ids and texts."""
    found = [p for p in (*COMMON, *BLOBS, *MAIL, *RESETS, *GRAPH) if p.id in names or f"{p.id} {p.what}" in names]
    assert all(any(name in (p.id, f"{p.id} {p.what}") for p in found) for name in names), names
    return tuple(found)


def _spread(
    points: Iterable[Point], faults: Sequence[str], *, stores: Sequence[Kind] = KINDS, one_server: bool = False
) -> Iterator[Case]:
    """Every point with every fault on every server (or on one, in turn); actions and stores take turns."""
    for p, point in enumerate(points):
        for f, fault in enumerate(faults):
            servers = point.servers
            if one_server:
                servers = (servers[(p + f) % len(servers)],)
            for s, server in enumerate(servers):
                turn = p + f + s
                if server == "graph" and "imap" in point.servers and turn % 2:
                    server = "graph-untidy"
                actions = [action for action in point.actions if (server, action) not in IMPOSSIBLE]
                yield Case(
                    point=point,
                    fault=fault,
                    server=server,
                    action=actions[turn % len(actions)],
                    store=stores[(turn // len(actions) + f + s) % len(stores)],
                )


def _sample(cases: Sequence[Case], rng: random.Random) -> list[Case]:
    """One case of each label, with as many different faults as there are labels; of the slow faults one only."""
    slow = rng.choice(SLOW)
    quick = [case for case in cases if case.fault == slow or case.fault not in SLOW]
    by_label: dict[str, list[Case]] = {}
    for case in rng.sample(quick, len(quick)):
        by_label.setdefault(case.point.id, []).append(case)
    found: list[Case] = []
    for some in by_label.values():
        tried = {case.fault for case in found}
        found.append(next((case for case in some if case.fault not in tried), some[0]))
    return found
