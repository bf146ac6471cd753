"""One byte budget for the whole process: how much of mail bodies may be in memory at once, over all mailboxes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LIMIT = 64 * 1024 * 1024


class ByteBudget:
    """A counting semaphore in bytes. A share larger than the limit is granted alone, so nobody waits for ever."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._used = 0
        self._free = threading.Condition()

    @contextmanager
    def share(self, size: int, *, waiting: Callable[[], None]) -> Iterator[None]:
        """Holds `size` bytes of the budget.

        Args:
            size: Bytes.
            waiting: Called at least each second while others hold the budget, so that the caller can show that it
                is alive; it may raise to give up.
        """
        size = min(size, self._limit)
        with self._free:
            while self._used + size > self._limit:
                waiting()
                self._free.wait(1.0)
            self._used += size
        try:
            yield
        finally:
            with self._free:
                self._used -= size
                self._free.notify_all()
