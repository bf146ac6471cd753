"""Tasks that are carried out ahead of their turn."""

import hashlib
import subprocess
import sys
import threading
from functools import partial

import pytest

from mailfetch_fetcher.sources.graph_ahead import in_order


def test_results_come_in_order_and_only_some_tasks_run_at_once() -> None:
    lock, running, highest = threading.Lock(), 0, 0
    both = threading.Barrier(2)

    def task(n: int) -> int:
        nonlocal running, highest
        with lock:
            running += 1
            highest = max(highest, running)
        both.wait(timeout=30)  # each needs another one beside it
        with lock:
            running -= 1
        return n

    assert list(in_order([partial(task, n) for n in range(10)], at_once=2)) == list(range(10))
    assert highest == 2


def test_a_failure_comes_in_its_turn_and_waits_for_what_is_under_way() -> None:
    begun, failed, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        failed.wait(timeout=30)
        hashlib.sha256(bytes(50 << 20))  # is busy for a moment
        ended.set()
        return 3

    def fail() -> int:
        begun.wait(timeout=30)
        failed.set()
        raise LookupError

    results = in_order([lambda: 1, fail, slow], at_once=3)
    assert next(results) == 1
    with pytest.raises(LookupError):
        next(results)
    assert ended.is_set()


STUCK = """
import threading
from mailfetch_fetcher.sources.graph_ahead import in_order
begun = threading.Event()
def task():
    begun.set()
    threading.Event().wait()
threading.Thread(target=lambda: list(in_order([task] * 3, at_once=3)), daemon=True).start()
begun.wait()
"""


def test_the_process_ends_whatever_its_tasks_wait_for() -> None:
    subprocess.run([sys.executable, "-c", STUCK], check=True, timeout=60)
