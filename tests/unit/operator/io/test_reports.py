"""Long polls against a real HTTP server that behaves like a fetcher."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import msgspec
import pytest
from aiohttp import web

from mailfetch_fetcher.contract import report as contract
from mailfetch_fetcher.contract.report import ConnectionReport, Report
from mailfetch_operator import reports as module
from mailfetch_operator.model import FetcherKey
from mailfetch_operator.reports import Reports

FETCHER = FetcherKey(namespace="ns", name="mailfetch-pool-default")
News = tuple[FetcherKey, frozenset[str] | None]


class Fetcher:
    """Serves /report: at once if `since` is another revision, else when there is news."""

    def __init__(self) -> None:
        self.report = Report(revision="r1", fetcher="pod", version="1")
        self.body: bytes | None = None
        self.headers: dict[str, str] = {}
        self.status = 200
        self.asked: list[dict[str, str]] = []
        self.port = 0
        self._news = asyncio.Condition()

    async def say(self, **connections: ConnectionReport) -> None:
        async with self._news:
            number = int(self.report.revision[1:]) + 1
            self.report = Report(revision=f"r{number}", fetcher="pod", version="1", connections=connections)
            self._news.notify_all()

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(dict(request.query))
        async with self._news:
            await self._news.wait_for(lambda: self.report.revision != request.query["since"])
        body = self.body if self.body is not None else contract.encode(self.report)
        return web.Response(body=body, headers=self.headers, status=self.status)


class Operator:
    """Collects the news and waits for it."""

    def __init__(self, port: int) -> None:
        self.news: list[News] = []
        self.time = 0.0
        self.reports = Reports(news=self._take, port=port, clock=lambda: self.time)

    def _take(self, fetcher: FetcherKey, connections: set[str] | None) -> None:
        self.news.append((fetcher, None if connections is None else frozenset(connections)))


def connection(**fields: Any) -> ConnectionReport:
    return ConnectionReport(**{"uid": "u", "generation": 1, "fingerprint": "f", "phase": "Listening", **fields})


def pod(*, name: str = "pod", ip: str = "127.0.0.1", **fields: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "labels": {"mailfetch.dev/fetcher": FETCHER.name}}
    return {"metadata": {**meta, **fields}, "status": {"phase": "Running", "podIP": ip}}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - any condition of the test
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def served(fetcher: Fetcher) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes([web.get("/report", fetcher.answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", fetcher.port)
    await site.start()
    fetcher.port = runner.addresses[0][1]
    try:
        yield
    finally:
        await runner.cleanup()


def scenario(script: Callable[[Fetcher, Operator], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        fetcher = Fetcher()
        async with served(fetcher):
            operator = Operator(fetcher.port)
            try:
                await script(fetcher, operator)
            finally:
                await operator.reports.stop()

    asyncio.run(go())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setattr(module, "BACKOFF_LAST", 0.05)


def test_the_first_answer_is_news_for_all_and_later_ones_for_those_that_changed() -> None:
    async def script(fetcher: Fetcher, operator: Operator) -> None:
        await fetcher.say(one=connection(), two=connection())
        operator.reports.pod_changed(pod())
        await until(lambda: operator.news == [(FETCHER, None)])
        await fetcher.say(one=connection(), two=connection(messages=5), three=connection())
        await until(lambda: len(operator.news) == 2)
        assert operator.news[1] == (FETCHER, frozenset({"two", "three"}))
        await fetcher.say(two=connection(messages=5), three=connection())
        await until(lambda: len(operator.news) == 3)
        assert operator.news[2] == (FETCHER, frozenset({"one"}))
        view = operator.reports.view(FETCHER, "two")
        assert view.report == connection(messages=5)
        assert (view.age, view.pod) == (0.0, "pod")
        assert [a["since"] for a in fetcher.asked[:3]] == ["", "r2", "r3"]
        assert fetcher.asked[0]["wait"] == "30"

    scenario(script)


def test_a_fetcher_that_never_answered_has_no_age() -> None:
    async def script(_fetcher: Fetcher, operator: Operator) -> None:
        assert operator.reports.view(FETCHER, "one").age is None

    scenario(script)


def test_the_age_grows_from_the_last_answer_and_silence_is_news_for_all() -> None:
    async def script(fetcher: Fetcher, operator: Operator) -> None:
        await fetcher.say(one=connection())
        operator.reports.pod_changed(pod())
        await until(lambda: len(operator.news) == 1)
        fetcher.body = b"<html>"
        operator.time = 77.0
        await fetcher.say()
        await until(lambda: len(operator.news) >= 3)
        assert set(operator.news) == {(FETCHER, None)}
        view = operator.reports.view(FETCHER, "one")
        assert view.age == 77.0
        assert view.report == connection()
        # It answers again: news for all, although nothing in the report is new.
        fetcher.body = None
        await fetcher.say(one=connection())
        await until(lambda: operator.reports.view(FETCHER, "one").age == 0.0)

    scenario(script)


def test_a_fetcher_that_comes_up_later_is_found() -> None:
    async def go() -> None:
        fetcher = Fetcher()
        async with served(fetcher):
            pass  # now its port is known, and nobody listens there
        operator = Operator(fetcher.port)
        operator.reports.pod_changed(pod())
        await until(lambda: len(operator.news) >= 2)
        async with served(fetcher):
            await until(lambda: operator.reports.view(FETCHER, "x").age is not None)
            await operator.reports.stop()

    asyncio.run(go())


def test_an_answer_that_is_too_large_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIMIT", 1000)

    async def script(fetcher: Fetcher, operator: Operator) -> None:
        fetcher.body = contract.encode(msgspec.structs.replace(fetcher.report, version="x" * 2000))
        operator.reports.pod_changed(pod())
        await until(lambda: len(operator.news) >= 2)
        assert operator.reports.view(FETCHER, "one").age is None

    scenario(script)


BOMB = gzip.compress(b" " * (1 << 24))
NESTED = b'{"unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
HOSTILE = [(NESTED, {}), (BOMB, {"Content-Encoding": "gzip"}), (b"x", {"Content-Encoding": "gzip"}), (b"", {})]


@pytest.mark.parametrize(("body", "headers"), HOSTILE, ids=["nested", "bomb", "not gzip", "empty"])
def test_no_answer_ends_the_asking(body: bytes, headers: dict[str, str]) -> None:
    async def script(fetcher: Fetcher, operator: Operator) -> None:
        fetcher.body, fetcher.headers = body, headers
        operator.reports.pod_changed(pod())
        await until(lambda: len(fetcher.asked) >= 3)
        assert operator.reports.view(FETCHER, "one").age is None
        fetcher.body, fetcher.headers = None, {}
        await until(lambda: operator.reports.view(FETCHER, "one").age is not None)

    scenario(script)


@pytest.mark.parametrize("status", [302, 307, 404, 500])
def test_only_an_answer_of_the_pod_itself_counts(status: int) -> None:
    """A redirect would have the operator ask whomever a pod names, with the operator's place in the network."""

    async def script(fetcher: Fetcher, operator: Operator) -> None:
        async with served(other := Fetcher()):
            await other.say(one=connection())
            fetcher.status, fetcher.headers = status, {"Location": f"http://127.0.0.1:{other.port}/report?since="}
            operator.reports.pod_changed(pod())
            await until(lambda: len(operator.news) >= 2)
            assert other.asked == []
            assert operator.reports.view(FETCHER, "one").age is None

    scenario(script)


def test_a_pod_that_gets_another_address_is_asked_there() -> None:
    async def script(fetcher: Fetcher, operator: Operator) -> None:
        operator.reports.pod_changed(pod(ip="127.0.0.2"))  # nobody listens there
        await until(lambda: len(operator.news) >= 1)
        operator.reports.pod_changed(pod())
        await until(lambda: operator.reports.view(FETCHER, "one").age is not None)

    scenario(script)


def test_an_answer_is_never_unpacked() -> None:
    """What is small on the wire may be huge in memory before it can be counted."""

    async def script(fetcher: Fetcher, operator: Operator) -> None:
        fetcher.body, fetcher.headers = gzip.compress(contract.encode(fetcher.report)), {"Content-Encoding": "gzip"}
        operator.reports.pod_changed(pod())
        await until(lambda: len(fetcher.asked) >= 2)
        assert operator.reports.view(FETCHER, "one").age is None

    scenario(script)


@pytest.mark.parametrize(
    "unready",
    [
        {**pod(), "status": {"phase": "Pending"}},
        {**pod(), "status": {"phase": "Failed", "podIP": "127.0.0.1"}},
        pod(deletionTimestamp="2026-01-01T00:00:00Z"),
        pod(labels={"mailfetch.dev/connection": "x"}),
    ],
)
def test_only_running_fetchers_are_asked(unready: dict[str, Any]) -> None:
    async def script(fetcher: Fetcher, operator: Operator) -> None:
        operator.reports.pod_changed(unready)
        operator.reports.pod_changed(pod(name="running"))
        await until(lambda: len(fetcher.asked) == 2)  # the answer at once, and the poll after it
        assert {a["since"] for a in fetcher.asked} == {"", "r1"}

    scenario(script)


def test_a_pod_that_ends_is_not_asked_any_more_and_its_successor_is() -> None:
    async def script(fetcher: Fetcher, operator: Operator) -> None:
        operator.reports.pod_changed(pod())
        await until(lambda: len(fetcher.asked) == 2)
        operator.reports.pod_changed(pod(deletionTimestamp="2026-01-01T00:00:00Z"))
        operator.reports.pod_changed(pod(name="next"))
        operator.reports.pod_changed(pod(name="next"))  # seen twice, asked once
        await until(lambda: operator.reports.view(FETCHER, "x").pod == "next")
        await until(lambda: len(fetcher.asked) == 4)
        assert [a["since"] for a in fetcher.asked] == ["", "r1", "", "r1"]
        assert operator.news == [(FETCHER, None), (FETCHER, None)]

    scenario(script)


def test_the_highest_seq_of_a_state_is_remembered_and_of_no_other() -> None:
    async def script(fetcher: Fetcher, operator: Operator) -> None:
        def highest() -> int:
            return operator.reports.view(FETCHER, "one").highest

        await fetcher.say(one=connection(state_id="s", seq=90))
        operator.reports.pod_changed(pod())
        await until(lambda: highest() == 90)
        await fetcher.say(one=connection(state_id="s", seq=70))
        await until(lambda: len(operator.news) == 2)
        assert highest() == 90
        await fetcher.say()
        await until(lambda: len(operator.news) == 3)
        assert highest() == 0
        await fetcher.say(one=connection(state_id="s", seq=75))
        await until(lambda: highest() == 90)
        await fetcher.say(one=connection(phase="Starting"))
        await until(lambda: highest() == 0)
        await fetcher.say(one=connection(state_id="t", seq=3))
        await until(lambda: highest() == 3)
        await fetcher.say(one=connection(state_id="t", seq=2, uid="another object"))
        await until(lambda: highest() == 2)

    scenario(script)
