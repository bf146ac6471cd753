"""Keeps one long poll per fetcher pod (`GET /report`), so that the operator knows at once what each mailbox does.

What a fetcher says is data of somebody else: it is bounded in size and checked before it is kept. It is compared with
what was known, and only connections with news are reconciled.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from mailfetch_fetcher.contract import report
from mailfetch_operator import names
from mailfetch_operator.model import FetcherKey, ReportView

logger = logging.getLogger(__name__)

WAIT = 30
"""Seconds that a fetcher may hold the answer back when there is no news."""
LIMIT = 4 << 20
"""Bytes of an answer: far more than 200 connections need."""
PAUSE = 0.5
"""Seconds between two polls at least: a busy fetcher has news all the time."""
BACKOFF_LAST = 20.0


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """The last contact with a fetcher."""

    report: report.Report
    at: float
    pod: str


@dataclass(frozen=True, kw_only=True)
class _Highest:
    """How far a state in Redis was; `of` is the UID of the MailConnection and the id of the state."""

    of: tuple[str, str]
    seq: int


@dataclass(frozen=True, kw_only=True)
class _Poll:
    """A running long poll."""

    ip: str
    task: asyncio.Task[None]


class Reports:
    """What fetchers last said.

    Args:
        news: Called with a fetcher and the names of its connections that have news; None means all.
        port: Port of the fetchers.
        clock: Monotonic seconds.
    """

    def __init__(
        self, *, news: Callable[[FetcherKey, set[str] | None], None], port: int, clock: Callable[[], float]
    ) -> None:
        self._news = news
        self._port = port
        self._clock = clock
        self._began = clock()
        self._heard: dict[FetcherKey, _Heard] = {}
        self._highest: dict[FetcherKey, dict[str, _Highest]] = {}
        self._polls: dict[str, _Poll] = {}
        self._session: aiohttp.ClientSession | None = None

    def begin(self) -> None:
        """From now on fetchers are asked."""
        self._began = self._clock()

    @property
    def uptime(self) -> float:
        """Seconds since fetchers are asked."""
        return self._clock() - self._began

    def view(self, fetcher: FetcherKey, connection: str) -> ReportView:
        """What the fetcher last said about the connection."""
        heard = self._heard.get(fetcher)
        if not heard:
            return ReportView()
        known = heard.report.connections.get(connection)
        seen = self._highest.get(fetcher, {}).get(connection)
        return ReportView(
            report=known,
            age=max(0.0, self._clock() - heard.at),
            pod=heard.pod,
            highest=seen.seq if known and seen and seen.of == (known.uid, known.state_id) else 0,
        )

    def pod_changed(self, pod: Mapping[str, Any]) -> None:
        """Starts, moves or ends the poll of a pod."""
        meta, status = pod["metadata"], pod.get("status") or {}
        fetcher = str((meta.get("labels") or {}).get(names.FETCHER_LABEL, ""))
        ip = status.get("podIP", "")
        wanted = fetcher and ip and status.get("phase") == "Running" and not meta.get("deletionTimestamp")
        poll = self._polls.get(meta["uid"])
        if poll and (not wanted or poll.ip != ip):
            self.pod_gone(pod)
            poll = None
        if wanted and not poll:
            key = FetcherKey(namespace=meta["namespace"], name=fetcher)
            task = asyncio.create_task(self._follow(key, meta["name"], ip), name=f"report-{meta['name']}")
            self._polls[meta["uid"]] = _Poll(ip=ip, task=task)

    def pod_gone(self, pod: Mapping[str, Any]) -> None:
        """Ends the poll of a pod."""
        if poll := self._polls.pop(pod["metadata"]["uid"], None):
            poll.task.cancel()

    def fetcher_gone(self, fetcher: FetcherKey) -> None:
        """Forgets what a fetcher said that is not wanted any more."""
        self._heard.pop(fetcher, None)
        self._highest.pop(fetcher, None)

    async def stop(self) -> None:
        """Ends all polls."""
        tasks = [poll.task for poll in self._polls.values()]
        self._polls.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def _follow(self, fetcher: FetcherKey, pod: str, ip: str) -> None:
        host = f"[{ip}]" if ":" in ip else ip
        url = f"http://{host}:{self._port}{report.PATH}"
        since, failures = "", 0
        while True:
            try:
                found = await self._poll(url, since)
            except Exception as e:  # whatever a pod answers (JSON can be nested too deeply to read): ask again later
                failures += 1
                if failures == 3:
                    logger.warning("no report from fetcher pod %s/%s at %s: %r", fetcher.namespace, pod, url, e)
                self._news(fetcher, None)  # the age of the last report is what is new
                pause = min(BACKOFF_LAST, 0.5 * 2 ** min(failures, 8)) * (0.5 + random.random() / 2)  # noqa: S311
                await asyncio.sleep(pause)
                continue
            since = found.revision
            self._take(fetcher, pod, found, everybody=failures > 0)
            failures = 0
            await asyncio.sleep(PAUSE)

    def _take(self, fetcher: FetcherKey, pod: str, found: report.Report, *, everybody: bool) -> None:
        before = self._heard.get(fetcher)
        self._heard[fetcher] = _Heard(report=found, at=self._clock(), pod=pod)
        self._remember(self._highest.setdefault(fetcher, {}), found)
        if everybody or not before or before.pod != pod:
            self._news(fetcher, None)
            return
        old, new = before.report.connections, found.connections
        changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
        if changed:
            self._news(fetcher, changed)

    @staticmethod
    def _remember(highest: dict[str, _Highest], found: report.Report) -> None:
        """A connection that is missing for a moment (its pod starts) keeps its count."""
        for name, told in found.connections.items():
            of, seen = (told.uid, told.state_id), highest.get(name)
            if told.state_id and not (seen and seen.of == of and seen.seq >= told.seq):
                highest[name] = _Highest(of=of, seq=told.seq)

    async def _poll(self, url: str, since: str) -> report.Report:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            # Fetchers do not compress; a compressed answer could unfold to any size before its bytes are counted.
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False)
        params = {"since": since, "wait": str(WAIT)}
        timeout = aiohttp.ClientTimeout(total=WAIT + 15, sock_connect=5)
        async with self._session.get(url, params=params, timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"HTTP {answer.status}")
            body = bytearray()
            async for chunk in answer.content.iter_chunked(1 << 16):
                body += chunk
                if len(body) > LIMIT:
                    raise ValueError(f"more than {LIMIT} bytes")
        return report.decode(bytes(body))
