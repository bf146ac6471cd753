"""Access tokens of the process: each asked for once, however many mailboxes and threads need it; kept in memory.

A token is fetched when a login needs one, never by a timer: 1,000 mailboxes at rest ask for nothing.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.errors import SourceError

EARLY = 300.0
"""Seconds before its end at which a token counts as used up: a login and the clocks of others need some time."""
_LONGEST_REFUSAL = 3600.0
"""Seconds: for longer than this an authority's request for patience is not obeyed without asking again."""


@dataclass(frozen=True, kw_only=True)
class Granted:
    """What an authority gave.

    Attributes:
        access_token: The token.
        expires_at: Seconds since 1970 at which it ends.
        refresh_token: What it gave in place of the refresh token that was shown to it; empty: nothing.
    """

    access_token: str = field(repr=False)
    expires_at: float
    refresh_token: str = field(default="", repr=False)


class _Entry:
    """One kind of token. `flights` counts requests that have ended, `refusal` is how the last one failed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.granted: Granted | None = None
        self.flights = 0
        self.refusal: SourceError | None = None
        self.not_before = 0.0


class Tokens:
    """One per process; for any thread.

    Attributes:
        clock: Clocks; when a token ends is told as a time.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._guard = threading.Lock()
        self._entries: dict[bytes, _Entry] = {}

    def get(self, key: bytes, *, fetch: Callable[[], Granted], refused: str = "", anew: bool = False) -> Granted:
        """The token in memory, or a new one.

        Args:
            key: What the token is for and what it is made from: a change of a Secret makes another key.
            fetch: Asks the authority; not called while another thread does so for the same key.
            refused: A token that a server has refused: it is never returned.
            anew: The one in memory will not do, whichever it is.

        Raises:
            SourceError: what `fetch` raised, here or in the thread that was waited for; or the authority asked for
                patience a moment ago.
        """
        entry = self._enter(key)
        try:
            before = entry.flights
            with entry.lock:
                flown = entry.flights != before
                if entry.granted and self._is_good(entry.granted, refused) and (flown or not anew):
                    return entry.granted
                if entry.refusal and (flown or entry.not_before > self._now()):
                    raise self._again(entry, entry.refusal)
                return self._fly(entry, fetch)
        finally:
            self._leave(entry)

    # -- one request -----------------------------------------------------------------------

    def _fly(self, entry: _Entry, fetch: Callable[[], Granted]) -> Granted:
        entry.refusal = None  # a token that one server refused stays: others may take it
        entry.not_before = 0.0
        try:
            entry.granted = fetch()
        except SourceError as e:
            entry.refusal = e
            entry.not_before = self._now() + min(e.retry_after or 0.0, _LONGEST_REFUSAL)
            raise
        finally:
            entry.flights += 1
        return entry.granted

    def _again(self, entry: _Entry, refusal: SourceError) -> SourceError:
        """The same failure for another thread: an exception that is raised twice mixes up its tracebacks."""
        left = max(entry.not_before - self._now(), 0.0) or None
        return SourceError(refusal.reason, refusal.message, pace=refusal.pace, retry_after=left)

    def _is_good(self, granted: Granted, refused: str) -> bool:
        return granted.access_token != refused and granted.expires_at - EARLY > self._now()

    def _now(self) -> float:
        return self.clock.now().timestamp()

    # -- entries ---------------------------------------------------------------------------

    def _enter(self, key: bytes) -> _Entry:
        with self._guard:
            if key not in self._entries:
                self._forget()
                self._entries[key] = _Entry()
            entry = self._entries[key]
            entry.users += 1
            return entry

    def _leave(self, entry: _Entry) -> None:
        with self._guard:
            entry.users -= 1

    def _forget(self) -> None:
        """Drops what nobody can use any more, for example tokens made from a Secret that has changed."""
        now = self._now()
        used_up = [
            key
            for key, entry in self._entries.items()
            if not entry.users and entry.not_before <= now and (not entry.granted or entry.granted.expires_at <= now)
        ]
        for key in used_up:
            del self._entries[key]
