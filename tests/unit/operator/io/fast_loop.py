"""An event loop whose clock jumps: what would wait for a timer runs at once, in the right order."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _Jumping(selectors.SelectSelector):
    """Does not wait; it lets the loop's clock jump to the next timer instead."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("deadlock: nothing is ready, and no timer is set")
        if not ready and timeout:
            self.offset += timeout
        return ready


class FastLoop(asyncio.SelectorEventLoop):
    """For tests without I/O."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.offset


def run_fast(work: Coroutine[Any, Any, None]) -> None:
    """Runs a test in a loop with a jumping clock."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(work)
