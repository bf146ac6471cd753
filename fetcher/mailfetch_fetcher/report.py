"""What the sessions are doing, gathered for the operator's long poll (`contract/report.py`)."""

import secrets
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from mailfetch_fetcher import __version__
from mailfetch_fetcher.contract.report import ConnectionReport, Report

QUIET = 5.0
"""Seconds: changes of mere counters are told at most this often."""


class ReportHub:
    """Thread-safe; sessions write, HTTP handlers wait."""

    def __init__(self, *, fetcher: str, monotonic: Callable[[], float]) -> None:
        self._fetcher = fetcher
        self._monotonic = monotonic
        self._run = secrets.token_hex(4)  # so that a revision of an earlier process never equals one of ours
        self._count = 0
        self._told = 0.0
        self._dirty = False
        self._connections: dict[str, ConnectionReport] = {}
        self._changed = threading.Condition()

    def put(self, name: str, report: ConnectionReport) -> None:
        """Starts the report of a connection, or starts it anew."""
        with self._changed:
            self._connections[name] = report
            self._tell()

    def update(self, name: str, *, quiet: bool = False, **changes: Any) -> None:
        """Replaces fields of a connection's report; `quiet` changes alone do not end a long poll at once."""
        with self._changed:
            old = self._connections.get(name)
            if old is None:
                return
            new = msgspec.structs.replace(old, **changes)
            if new == old:
                return
            self._connections[name] = new
            if quiet:
                self._dirty = True
            else:
                self._tell()

    def remove(self, name: str) -> None:
        """Forgets a connection that is no longer assigned."""
        with self._changed:
            if self._connections.pop(name, None):
                self._tell()

    def get(self, name: str) -> ConnectionReport | None:
        """The report of one connection."""
        with self._changed:
            return self._connections.get(name)

    def wait(self, since: str, seconds: float) -> Report:
        """The report, as soon as its revision is not `since`, at the latest after `seconds`."""
        deadline = self._monotonic() + seconds
        with self._changed:
            while True:
                now = self._monotonic()
                if self._dirty and now - self._told >= QUIET:
                    self._tell()
                if self._revision() != since or now >= deadline:
                    return Report(
                        revision=self._revision(),
                        fetcher=self._fetcher,
                        version=__version__,
                        connections=dict(self._connections),
                    )
                self._changed.wait(min(deadline - now, 1.0))

    def _revision(self) -> str:
        return f"{self._run}-{self._count}"

    def _tell(self) -> None:
        self._count += 1
        self._dirty = False
        self._told = self._monotonic()
        self._changed.notify_all()
