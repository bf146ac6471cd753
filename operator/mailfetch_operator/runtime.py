"""The running operator: puts the parts together, starts and stops them, and turns changes into keys.

The start is: answer /healthz, log in, list everything, then work. Nothing is decided before the lists are complete,
because a fetcher that is planned from half of its connections would stop the other half.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from mailfetch_operator import index, names
from mailfetch_operator.api.children import Children
from mailfetch_operator.api.client import Api, ApiError, NotFoundError
from mailfetch_operator.api.kinds import CONFIG_MAP, CONNECTION, DEPLOYMENT, POD, STATEFUL_SET, WATCHED, Kind
from mailfetch_operator.cache import Cache
from mailfetch_operator.events import Events
from mailfetch_operator.liveness import Liveness
from mailfetch_operator.model import Config, FetcherKey, Key
from mailfetch_operator.reconcile import Reconciler, asked
from mailfetch_operator.reports import Reports
from mailfetch_operator.settings import Settings
from mailfetch_operator.webserver import HttpServer
from mailfetch_operator.workqueue import WorkQueue

logger = logging.getLogger(__name__)

Object = dict[str, Any]

RELIST = 1800.0
"""Seconds after which everything is listed again, should a watch ever miss something."""
RETRY = 5.0
STOP_GRACE = 6.0
"""Seconds for running reconciles at shutdown; with Kopf's own, the end comes within 10."""


class Operator:
    """Everything that runs. `start` and `stop` are called once, in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: WorkQueue[Key] = WorkQueue(self._work)
        self._cache = Cache(changed=self._changed, index=index.keys)
        self._kinds = {kind.path(namespace=ns): (kind, ns) for kind in WATCHED for ns in settings.watched}
        self._reports = Reports(news=self._news, port=settings.report_port, clock=time.monotonic)
        self._tasks: set[asyncio.Task[None]] = set()
        self._relisting: set[str] = set()
        self.liveness = Liveness(paths=self._kinds, standstill=self._queue.standstill)
        self._http = HttpServer(settings=settings, liveness=self.liveness, connections=self._connections)

    async def start(self) -> None:
        """Returns once everything is listed and the work has begun; until then it tries again and says why."""
        await self._http.start()
        self._api = await Api.connect()
        config = await self._persistently(self._config, "the cluster's id")
        self._reconciler = Reconciler(
            api=self._api,
            cache=self._cache,
            children=Children(api=self._api, cache=self._cache),
            events=Events(api=self._api, now=_now),
            reports=self._reports,
            config=config,
            add=self._queue.add,
            now=_now,
            rand=random.random,
        )
        for path in self._kinds:
            await self._persistently(lambda path=path: self._list(path, silent=True), path)
        self._enqueue_all()
        self._queue.start()
        self._spawn(self._relist_forever())
        logger.info("started: %d connections", len(self._cache.all(CONNECTION.kind)))

    async def stop(self) -> None:
        """Lets running reconciles finish, then closes everything."""
        for task in self._tasks:
            task.cancel()
        await self._queue.stop(grace=STOP_GRACE)
        await self._reports.stop()
        await self._http.stop()
        with contextlib.suppress(AttributeError):  # stopped before it had logged in
            await self._api.close()

    def event(self, kind: Kind, event_type: str | None, raw: Object) -> None:
        """Takes a watch event."""
        if event_type == "DELETED":
            self._cache.remove(kind.kind, raw)
        else:
            self._cache.put(kind.kind, raw)

    def watch_relisted(self, path: str) -> None:
        """A watch had to begin anew with a list, so deletions may have been missed: look for them."""
        if path in self._kinds and path not in self._relisting:
            self._relisting.add(path)
            self._spawn(self._relist(path))

    async def _work(self, key: Key) -> float | None:
        return await self._reconciler.work(key)

    async def _config(self) -> Config:
        settings = self._settings
        cluster_id = settings.cluster_id
        if not cluster_id:
            cluster_id = (await self._api.get("/api/v1/namespaces/kube-system"))["metadata"]["uid"]
        return Config(
            image=settings.fetcher_image,
            cluster_id=cluster_id,
            version=metadata.version("mailfetch"),
            pull_policy=settings.fetcher_image_pull_policy,
            pull_secrets=settings.fetcher_pull_secrets,
            resources=settings.fetcher_resources,
            tools_resources=settings.tools_resources,
        )

    async def _list(self, path: str, *, silent: bool = False) -> None:
        kind, namespace = self._kinds[path]
        uids: set[str] = set()
        version = "0"
        async for page in self._api.list(kind, namespace):
            version = page["metadata"]["resourceVersion"]
            for raw in page.get("items") or ():
                uids.add(raw["metadata"]["uid"])
                self._cache.put(kind.kind, raw, silent=silent)
        gone = self._cache.retain(kind.kind, namespace, uids=uids, version=version)
        if gone:
            logger.info("%d objects of %s were deleted unnoticed", gone, path)

    async def _relist(self, path: str) -> None:
        try:
            await self._list(path)
        except ApiError as e:
            logger.warning("listing %s failed, tried again within half an hour: %s", path, e)
        finally:
            self._relisting.discard(path)

    async def _relist_forever(self) -> None:
        while True:
            await asyncio.sleep(RELIST * (0.8 + 0.4 * random.random()))  # noqa: S311 - jitter
            for path in self._kinds:
                await self._relist(path)

    async def _persistently(self, read: Any, what: str) -> Any:
        while True:
            try:
                return await read()
            except NotFoundError as e:
                logger.error("cannot start: %s (is the CustomResourceDefinition installed?)", e)
            except ApiError as e:
                logger.error("cannot start: %s cannot be read: %s", what, e)
            await asyncio.sleep(RETRY)

    def _enqueue_all(self) -> None:
        for obj in self._cache.all(CONNECTION.kind):
            self._queue.add(_key(obj))
        for obj in (*self._cache.all(CONNECTION.kind), *self._cache.all(STATEFUL_SET.kind)):
            self._queue.add(_tools_key(obj))
        # After the connections, so that what they decide is known when their fetchers' turn comes.
        for kind in (DEPLOYMENT, CONFIG_MAP):
            for obj in self._cache.all(kind.kind):
                if fetcher := _label(obj, names.FETCHER_LABEL):
                    self._queue.add(Key("fetcher", obj["metadata"]["namespace"], fetcher))
        self._reports.begin()
        for pod in self._cache.all(POD.kind):
            self._reports.pod_changed(pod)

    def _changed(self, before: Object | None, after: Object | None) -> None:
        obj = after or before
        assert obj is not None
        namespace = obj["metadata"]["namespace"]
        if obj["kind"] == CONNECTION.kind:
            self._connection_changed(before, after)
            return
        if obj["kind"] == STATEFUL_SET.kind:
            self._queue.add(_tools_key(obj))
        if name := _label(obj, names.CONNECTION_LABEL):
            self._queue.add(Key("connection", namespace, name))
        if fetcher := _label(obj, names.FETCHER_LABEL):
            if obj["kind"] == POD.kind:
                (self._reports.pod_changed if after else self._reports.pod_gone)(obj)
            self._queue.add(Key("fetcher", namespace, fetcher))
            if obj["kind"] != CONFIG_MAP.kind:
                self._news(FetcherKey(namespace=namespace, name=fetcher), None)

    def _connection_changed(self, before: Object | None, after: Object | None) -> None:
        obj = after or before
        assert obj is not None
        self._queue.add(_key(obj))
        if before and after and asked(before) == asked(after):
            return
        self._queue.add(_tools_key(obj))
        # Others may depend on it: they mean the same mailbox, or wait for room in a pool.
        namespace = obj["metadata"]["namespace"]
        for identity in {self._reconciler.connection(one).identity for one in (before, after) if one}:
            for other in self._cache.find(index.by_mailbox(namespace, identity)):
                self._queue.add(_key(other))
        for key in self._reconciler.refused(namespace):
            self._queue.add(key)

    def _news(self, fetcher: FetcherKey, connections: set[str] | None) -> None:
        if connections is None:
            everybody = self._cache.find(index.by_fetcher(fetcher.namespace, fetcher.name))
            connections = {obj["metadata"]["name"] for obj in everybody}
        for name in connections:
            self._queue.add(Key("connection", fetcher.namespace, name))

    def _connections(self) -> list[Object]:
        return self._cache.all(CONNECTION.kind)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _key(obj: Object) -> Key:
    return Key("connection", obj["metadata"]["namespace"], obj["metadata"]["name"])


def _tools_key(obj: Object) -> Key:
    return Key("tools", obj["metadata"]["namespace"], names.TOOLS)


def _label(obj: Object, name: str) -> str:
    return str((obj["metadata"].get("labels") or {}).get(name, ""))


def _now() -> datetime:
    return datetime.now(UTC)
