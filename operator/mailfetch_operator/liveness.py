"""Is the operator alive? Watch streams and work must both move.

A watch stream that died silently looks exactly like a quiet cluster, so its end is not waited for: the operator asks
the API server to end each stream after `WATCH_SECONDS`, and Kopf opens it again. A stream that was not opened again
for `WATCH_LIMIT` has no task behind it any more. While the API server is down the attempts go on, so an outage
does not restart the operator, which would not help.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

WATCH_SECONDS = 180
WATCH_LIMIT = 600.0
"""More than a stream's life, 70 s without any event, and Kopf's longest row of retries."""

WORK_LIMIT = 300.0
"""More than any reconcile can take: a few requests, each with retries and time-outs."""


@dataclass(kw_only=True)
class Liveness:
    """What moved when.

    Attributes:
        paths: Paths of the watches that must be there.
        standstill: Seconds since work moved although there is some.
        clock: Monotonic seconds.
    """

    paths: Iterable[str]
    standstill: Callable[[], float]
    clock: Callable[[], float] = time.monotonic
    _opened: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        now = self.clock()
        self._opened = dict.fromkeys(self.paths, now)

    def attempted(self, path: str) -> None:
        """A watch is being opened."""
        if path in self._opened:
            self._opened[path] = self.clock()

    def problems(self) -> list[str]:
        """What stands still; empty if all is well."""
        now = self.clock()
        found = [
            f"the watch of {path} was last opened {now - at:.0f} s ago"
            for path, at in self._opened.items()
            if now - at > WATCH_LIMIT
        ]
        if (seconds := self.standstill()) > WORK_LIMIT:
            found.append(f"no reconcile finished for {seconds:.0f} s although there is work")
        return found
