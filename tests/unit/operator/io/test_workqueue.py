"""The work queue, with a clock that jumps."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from mailfetch_operator.workqueue import BACKOFF_LAST, WorkQueue, backoff
from tests.unit.operator.io.fast_loop import run_fast

Work = Callable[[str], Awaitable[float | None]]


def now() -> float:
    return asyncio.get_running_loop().time()


class Recorder:
    """Work that notes what was asked of it, and takes a second."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, float]] = []
        self.running: list[str] = []
        self.most = 0

    async def __call__(self, key: str) -> float | None:
        assert key not in self.running, "two workers on one key"
        self.runs.append((key, now()))
        self.running.append(key)
        self.most = max(self.most, len(self.running))
        await asyncio.sleep(1)
        self.running.remove(key)
        return None

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.runs]


def running(work: Work, script: Callable[[WorkQueue[str]], Awaitable[None]], **options: Any) -> None:
    async def go() -> None:
        queue = WorkQueue(work, rand=lambda: 1.0, **options)
        queue.start()
        await script(queue)
        await queue.stop(grace=10)

    run_fast(go())


def test_a_key_added_many_times_is_worked_on_once() -> None:
    work = Recorder()

    async def script(queue: WorkQueue[str]) -> None:
        for _ in range(5):
            queue.add("a")
        await asyncio.sleep(10)

    running(work, script)
    assert work.keys == ["a"]


def test_a_key_added_while_it_runs_runs_again_afterwards_and_only_once() -> None:
    work = Recorder()

    async def script(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(0.5)
        queue.add("a")
        queue.add("a")
        await asyncio.sleep(10)

    running(work, script)
    assert work.runs == [("a", 0.0), ("a", 1.0)]


def test_different_keys_run_at_the_same_time_up_to_the_number_of_workers() -> None:
    work = Recorder()

    async def script(queue: WorkQueue[str]) -> None:
        for key in "abcde":
            queue.add(key)
        await asyncio.sleep(10)

    running(work, script, workers=3)
    assert sorted(work.keys) == list("abcde")
    assert work.most == 3


def test_the_earliest_delay_wins_and_adding_now_replaces_it() -> None:
    work = Recorder()

    async def script(queue: WorkQueue[str]) -> None:
        queue.add_after("later", 50)
        queue.add_after("later", 20)
        queue.add_after("later", 90)
        queue.add_after("now", 30)
        queue.add("now")
        await asyncio.sleep(200)

    running(work, script)
    assert work.runs == [("now", 0.0), ("later", 20.0)]


def test_what_the_work_returns_is_when_it_runs_again() -> None:
    runs: list[float] = []

    async def work(_key: str) -> float | None:
        runs.append(now())
        return 60.0 if len(runs) < 3 else None

    async def script(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(1000)

    running(work, script)
    assert runs == [0.0, 60.0, 120.0]


def test_failures_back_off_and_a_success_forgets_them() -> None:
    runs: list[float] = []

    async def work(_key: str) -> float | None:
        runs.append(now())
        if len(runs) in (1, 2, 3, 5):
            raise RuntimeError("no")
        return 100.0 if len(runs) == 4 else None

    async def script(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(1000)

    running(work, script)
    first = [backoff(n, 1.0) for n in (1, 2, 3)]
    assert [b - a for a, b in itertools.pairwise(runs)] == [*first, 100.0, first[0]]


def test_a_failing_key_does_not_hold_up_others() -> None:
    done: list[str] = []

    async def work(key: str) -> float | None:
        if key == "bad":
            raise RuntimeError("no")
        done.append(key)
        return None

    async def script(queue: WorkQueue[str]) -> None:
        queue.add("bad")
        for n in range(20):
            queue.add(f"good-{n}")
        await asyncio.sleep(1)

    running(work, script, workers=1)
    assert len(done) == 20


def test_the_back_off_is_capped_and_jittered() -> None:
    assert backoff(1, 0.0) == 0.25
    assert backoff(1000, 1.0) == BACKOFF_LAST
    assert backoff(1000, 0.0) == BACKOFF_LAST / 2


def test_stopping_lets_running_work_finish_and_starts_nothing_more() -> None:
    work = Recorder()

    async def go() -> None:
        queue = WorkQueue(work, workers=1)
        queue.start()
        queue.add("a")
        queue.add("b")
        await asyncio.sleep(0.5)
        await queue.stop(grace=10)
        queue.add("c")
        await asyncio.sleep(10)

    run_fast(go())
    assert work.keys == ["a"]
    assert work.running == []


def test_stopping_cuts_off_what_does_not_finish() -> None:
    cut: list[str] = []

    async def work(key: str) -> float | None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            cut.append(key)
            raise
        return None

    async def go() -> None:
        queue = WorkQueue(work)
        queue.start()
        queue.add("a")
        await asyncio.sleep(0)
        await queue.stop(grace=5)
        assert now() == 5.0

    run_fast(go())
    assert cut == ["a"]


def test_a_standstill_shows_when_work_hangs_or_waits_and_not_when_there_is_none() -> None:
    async def work(_key: str) -> float | None:
        await asyncio.Event().wait()  # for ever
        return None

    async def go() -> None:
        queue = WorkQueue(work, workers=1)
        queue.start()
        await asyncio.sleep(1000)
        assert queue.standstill() == 0.0
        queue.add("a")
        await asyncio.sleep(400)
        assert queue.standstill() == 400.0
        await queue.stop(grace=0.1)

    run_fast(go())


def test_a_long_row_of_work_is_no_standstill() -> None:
    work = Recorder()

    async def go() -> None:
        queue = WorkQueue(work, workers=1)
        queue.start()
        for n in range(1000):
            queue.add(str(n))
        await asyncio.sleep(900)
        assert not queue.idle
        assert queue.standstill() <= 1.0
        await queue.stop(grace=10)

    run_fast(go())
