"""The cases: every point with every fault that makes sense there, over servers, actions and stores in turn."""

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.chaos import catalogue
from tests.chaos.catalogue import Action, Point, Server
from tests.chaos.stores import KINDS, Kind

SEED = int(os.environ.setdefault("MAILFETCH_SEED", str(random.randrange(10**6))))
SAMPLE = os.environ.get("MAILFETCH_CHAOS") != "all"
PART, PARTS = (int(n) for n in os.environ.get("MAILFETCH_CHAOS_PART", "1/1").split("/"))
COMMON_FAULTS = ("kill", "kill, other pod", "cut", "silence", "zombie", "SIGTERM")
MAIL_FAULTS = ("kill", "cut", "silence", "zombie", "two at once")


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
    common = catalogue.points(catalogue.COMMON)
    others = [p for table in (catalogue.BLOBS, catalogue.MAIL, catalogue.RESETS) for p in catalogue.points(table)]
    return (*_spread(common, COMMON_FAULTS), *_spread(others, MAIL_FAULTS))


def chosen(cases: Sequence[Case], *, seed: int) -> list[Case]:
    """Those of this run: all, or one for each point; of these the part of this worker."""
    if SAMPLE:
        by_point: dict[Point, list[Case]] = {}
        for case in cases:
            by_point.setdefault(case.point, []).append(case)
        cases = [some[(seed + k * 7) % len(some)] for k, some in enumerate(by_point.values())]
    return [case for k, case in enumerate(cases) if k % PARTS == PART - 1]


def _spread(points: Iterable[Point], faults: Sequence[str]) -> Iterator[Case]:
    """Every point, fault and server; the actions and stores take turns, so that all combinations occur."""
    for p, point in enumerate(points):
        for f, fault in enumerate(faults):
            for s, server in enumerate(point.servers):
                actions = [a for a in point.actions if (server, a) not in IMPOSSIBLE]
                if not actions:
                    continue
                turn = p + f + s
                yield Case(
                    point=point,
                    fault=fault,
                    server=server,
                    action=actions[turn % len(actions)],
                    store=KINDS[(turn // len(actions) + f) % len(KINDS)],
                )


IMPOSSIBLE = {("pop3", "Move"), ("pop3", "MarkSeen")}
"""MarkSeen on POP3 does nothing at the server; its own tests are elsewhere."""
