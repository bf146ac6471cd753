"""Some tasks at once, their results in order: one mail a round trip would leave a mailbox waiting most of the time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_order(tasks: Iterable[Callable[[], T]], *, at_once: int) -> Iterator[T]:
    """The results of tasks, in the tasks' order; so many are begun before the first result is taken.

    Whoever stops early waits for those that are under way.

    Raises:
        Exception: what a task raised, in its turn.
    """
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(at_once)
    try:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) >= at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
