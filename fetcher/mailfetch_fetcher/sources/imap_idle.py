"""Waiting for news: IDLE (RFC 2177) where the server has it, else just the time; a wake-up from outside ends both.

IDLE is ended after nine minutes at most, long before a NAT forgets the connection or a server logs us out, and the
answer to DONE proves that the connection lives.
"""

import contextlib
import socket

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.sources.imap_channel import readable
from mailfetch_fetcher.sources.imap_wire import Refused, Wire

LONGEST_IDLE = 9 * 60.0
"""Seconds."""


class Waker:
    """Ends a wait from another thread; a wake-up that comes before the wait is not lost."""

    def __init__(self) -> None:
        self.socket, self._other = socket.socketpair()
        self.socket.setblocking(False)
        self._other.setblocking(False)

    def wake(self) -> None:
        """From any thread, any number of times, also after `close`."""
        with contextlib.suppress(OSError):  # full: it is awake already
            self._other.send(b"!")

    def take(self) -> bool:
        """There was a wake-up since the last call."""
        try:
            return bool(self.socket.recv(4096))
        except OSError:
            return False

    def close(self) -> None:
        """Frees both ends."""
        self.socket.close()
        self._other.close()


def sleep(waker: Waker, seconds: float) -> bool:
    """Waits without the server; True after a wake-up."""
    readable(waker.socket, seconds=seconds)
    return waker.take()


class Idle:
    """Waits on one connection with a folder open."""

    def __init__(self, wire: Wire, waker: Waker, *, clock: Clock, longest: float = LONGEST_IDLE) -> None:
        self._wire = wire
        self._waker = waker
        self._clock = clock
        self._longest = longest
        self.refused = False
        """The server announces IDLE and does not do it."""

    def wait(self, seconds: float) -> bool:
        """Waits at most so long; True after a new mail or a wake-up."""
        end = self._clock.monotonic() + seconds
        while not (news := self._wire.news or self._waker.take()):
            left = end - self._clock.monotonic()
            if left <= 0:
                break
            if self.refused:
                return sleep(self._waker, left)
            news = self._idle(min(left, self._longest))
            if news:
                break
        return news

    def _idle(self, seconds: float) -> bool:
        tag = self._wire.start(b"IDLE")
        try:
            self._await_go(tag)
        except Refused:
            self.refused = True
            return False
        news = self._listen(self._clock.monotonic() + seconds)
        self._wire.send(b"DONE\r\n")
        with contextlib.suppress(Refused):  # the connection lives, whatever it thinks of IDLE
            for _ in self._wire.answers(tag):
                pass
        return news or self._wire.news

    def _await_go(self, tag: bytes) -> None:
        while not (line := self._wire.line()).startswith(b"+"):
            if line.startswith(tag + b" "):
                self._wire.completed(line[len(tag) + 1 :])
                raise Refused("OK", "IDLE ended before it began")
            self._wire.untagged(line)

    def _listen(self, end: float) -> bool:
        """Until a new mail, a wake-up or the end of the time; a lost connection raises."""
        while True:
            while self._wire.buffered():
                self._wire.untagged(self._wire.line())
            if self._wire.news:
                return True
            left = end - self._clock.monotonic()
            if left <= 0:
                return False
            readable(self._wire.socket, self._waker.socket, seconds=left)
            if self._waker.take():
                return True
