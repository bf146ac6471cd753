"""Some tasks at once, their results in order: one mail a round trip would leave a mailbox waiting most of the time."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


def in_order(tasks: Iterable[Callable[[], T]], *, at_once: int) -> Iterator[T]:
    """The results of tasks, in the tasks' order; so many are begun before the first result is taken.

    Whoever stops early waits for those that are under way; the end of the process does not.

    Raises:
        Exception: what a task raised, in its turn.
    """
    waiting: deque[Future[T]] = deque()
    try:
        for task in tasks:
            waiting.append(_begin(task))
            if len(waiting) >= at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        wait(waiting)


def _begin(task: Callable[[], T]) -> Future[T]:
    """A thread of its own and not one of an executor: the interpreter waits for those before it ends, for ever."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(task())
        except BaseException as e:
            future.set_exception(e)

    threading.Thread(target=run, name=f"{threading.current_thread().name} ahead", daemon=True).start()
    return future
