"""What another thread may do to a source: wake it, and end its connection."""

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from mailfetch_fetcher.sources.imap_idle import Waker


def nothing() -> None:
    """Ends the connection where there is none."""


class Closable(ABC):
    """Base of the sources. Used by one thread, except for `wake` and `close`."""

    def __init__(self) -> None:
        self._waker = Waker()
        self._owner = 0
        self._shut: Callable[[], None] = nothing
        self._closed = False

    def wake(self) -> None:
        """See `Source`."""
        self._waker.wake()

    def close(self) -> None:
        """See `Source`. From another thread it only ends the connection; the thread that uses it then frees it."""
        self._closed = True
        self._waker.wake()
        if self._owner not in (0, threading.get_ident()):
            with contextlib.suppress(OSError):  # it has ended already
                self._shut()
            return
        self._waker.close()
        self._free()

    @abstractmethod
    def _free(self) -> None:
        """Closes the connection, if there is one."""

    def _own(self) -> None:
        """From now on this thread uses it."""
        self._owner = threading.get_ident()

    def _reached(self, shut: Callable[[], None]) -> None:
        """From now on this is what ends the connection; at once if `close` came from another thread meanwhile."""
        self._shut = shut
        if self._closed:
            with contextlib.suppress(OSError):
                shut()
