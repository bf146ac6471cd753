"""The sign of life of a session: keeps its lease while it gets on, and tells it when it was asked to end."""

from collections.abc import Callable

from mailfetch_fetcher.store.mailbox import Mailbox

SLACK = 60.0
"""Seconds for what is not the mail server's: a slow Redis, a barrier that watches the disk, a busy node.

Added to everything, as `spec.schedule.timeout` may be a few milliseconds.
"""


CONNECTING = 6
"""Timeouts of the server that may pass before its first sign of life: a name service, several addresses."""


class Stopped(Exception):
    """The session was asked to end: what is half done is abandoned, what is committed stays."""


class Pulse:
    """May be used by the session's and the writer's thread."""

    def __init__(self, *, mailbox: Mailbox, timeout: float, stopping: Callable[[], bool]) -> None:
        """Nothing is promised yet.

        Args:
            mailbox: Holds the lease.
            timeout: Seconds that the mail server may be silent.
            stopping: The session was asked to end.
        """
        self._mailbox = mailbox
        self._timeout = timeout
        self.stopping = stopping

    def beat(self, extra: float = 0.0) -> None:
        """The session got on, and will again before two silences of the server, and `extra` seconds, have passed."""
        self._mailbox.progress(within=2 * self._timeout + SLACK + extra)

    def connecting(self) -> None:
        """As `check`, before a connection is made."""
        self.beat(extra=CONNECTING * self._timeout)
        self._end_if_asked()

    def check(self) -> None:
        """As `beat`.

        Raises:
            Stopped: the session was asked to end.
        """
        self.beat()
        self._end_if_asked()

    def _end_if_asked(self) -> None:
        if self.stopping():
            raise Stopped
