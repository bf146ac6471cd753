"""Reconciling: gather what is known, ask the plan, apply what it says.

There are three kinds of keys. A *connection* gets its status and probe Jobs; what it has to do is then remembered here
and handed to its *fetcher*, whose ConfigMap and Deployment serve many connections. The *tools* are one StatefulSet for
a namespace. Every step may be the last one before a crash: the next start plans again from the objects and comes to the
same end.

The order within a connection is a promise: an assignment is given only after the status that it relies on (approval,
state id) was written, and is taken away before. A status is written only over the one that it was planned from, so that
a process that wakes from a long sleep, or an answer that comes late, never brings an ended approval back.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailfetch_operator import index, names, plan
from mailfetch_operator.api.children import Children
from mailfetch_operator.api.client import Api, ConflictError, NamespaceEndsError, NotFoundError
from mailfetch_operator.api.kinds import CONNECTION, DEPLOYMENT, JOB, POD
from mailfetch_operator.cache import Cache
from mailfetch_operator.events import Events
from mailfetch_operator.fetchers import Fetchers
from mailfetch_operator.model import Config, Connection, FetcherKey, FetcherView, Key, Refusal, ReportView, World
from mailfetch_operator.reports import Reports
from mailfetch_operator.status.observe import observe_fetcher, observe_probe, observe_purge

logger = logging.getLogger(__name__)

Object = dict[str, Any]

RESYNC = 1800.0
"""Seconds after which every connection is planned again although nothing happened."""
SETTLE = 1.0
"""Seconds after a written status until it is planned again: what was written may call for a next step."""


@dataclass(kw_only=True)
class Reconciler:
    """Works on keys.

    Attributes:
        add: Puts a key into the queue.
        now: Wall clock in UTC.
        rand: A number in [0, 1), for jitter.
    """

    api: Api
    cache: Cache
    children: Children
    events: Events
    reports: Reports
    config: Config
    add: Callable[[Key], None]
    now: Callable[[], datetime]
    rand: Callable[[], float]

    def __post_init__(self) -> None:
        self._fetchers = Fetchers(
            cache=self.cache,
            children=self.children,
            reports=self.reports,
            config=self.config,
            add=self.add,
            now=self.now,
            place=self._place,
            same_pool=self.same_pool,
        )
        self._ending: set[Key] = set()
        self._written: dict[Key, datetime] = {}
        self._parsed: dict[str, tuple[str, Connection]] = {}

    async def work(self, key: Key) -> float | None:
        """Reconciles a key; returns when it is due again.

        Raises:
            ApiError: the API server refused something; to be tried again.
        """
        if key.kind == "fetcher":
            await self._fetchers.work(FetcherKey(namespace=key.namespace, name=key.name))
            return None
        if key.kind == "tools":
            await self._tools(key.namespace)
            return None
        obj = self.cache.get(CONNECTION.kind, key.namespace, key.name)
        if obj is None:
            self._forget(key)
            return None
        return await self._connection(key, obj)

    def refused(self, namespace: str) -> list[Key]:
        """The connections of a namespace that no fetcher has room for."""
        return self._fetchers.refused(namespace)

    def connection(self, obj: Object) -> Connection:
        """The object, parsed once per version."""
        uid, version = obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]
        known = self._parsed.get(uid)
        if known and known[0] == version:
            return known[1]
        parsed = Connection.from_object(obj)
        self._parsed[uid] = (version, parsed)
        return parsed

    def all_of(self, namespace: str) -> list[Connection]:
        """All connections of a namespace."""
        return [self.connection(o) for o in self.cache.find(index.by_namespace(namespace))]

    def same_pool(self, namespace: str, fetcher: str) -> list[Connection]:
        """All connections that want to be served by a fetcher."""
        return [self.connection(o) for o in self.cache.find(index.by_fetcher(namespace, fetcher))]

    def same_mailbox(self, namespace: str, identity: str) -> list[Connection]:
        """All connections that mean a mailbox."""
        return [self.connection(o) for o in self.cache.find(index.by_mailbox(namespace, identity))]

    def same_stream(self, connection: Connection) -> list[Connection]:
        """All connections that write into its stream, and itself."""
        found = self.cache.find(index.by_stream(connection.namespace, connection.stream))
        return [self.connection(o) for o in found]

    async def _tools(self, namespace: str) -> None:
        """Makes the tools of a namespace what they should be, or deletes them."""
        wanted = plan.plan_tools(namespace, self.all_of(namespace), self.config)
        if wanted is None:
            await self.children.remove_tools(namespace)
            return
        try:
            await self.children.ensure(wanted)
        except NamespaceEndsError:
            logger.info("the tools of %s are not made: the namespace is being deleted", namespace)

    async def _connection(self, key: Key, obj: Object) -> float:
        connection = self.connection(obj)
        world = self._gather(key, connection)
        decided = plan.plan_connection(connection, world)
        fetcher = world.placement if isinstance(world.placement, FetcherKey) else None
        if decided.assignment is None:
            self._fetchers.assign(key, connection, fetcher, None, insist=False)
        try:
            if decided.finalizer is True:
                await self._set_finalizer(obj, wanted=True)
                return 0.0  # first of all: whatever comes into Redis from now on will be purged
            if not await self._jobs(key, decided):
                return SETTLE
            written = await self._write_status(key, obj, decided.status)
            if decided.finalizer is False:
                await self._set_finalizer(self._latest(key, obj), wanted=False)
        except ConflictError:
            await self._reread(key, obj)
            return SETTLE
        if decided.assignment is not None:
            self._fetchers.assign(key, connection, fetcher, decided.assignment, insist=decided.went_back)
        for event in decided.events:
            await self.events.send(obj, event)
        due = RESYNC * (0.8 + 0.2 * self.rand())
        if decided.requeue_after is not None:
            due = min(due, decided.requeue_after)
        return min(due, SETTLE) if written else due

    async def _jobs(self, key: Key, decided: plan.ConnectionPlan) -> bool:
        """Deletes and creates Jobs; False: the namespace is being deleted, which calls for another plan."""
        for job in decided.delete_jobs:
            await self.children.remove_job(key.namespace, job)
        try:
            for manifest in (decided.probe, decided.purge):
                if manifest:
                    await self.children.create_job(manifest)
        except NamespaceEndsError:
            if decided.purge is None:
                raise
            logger.warning("the data of %s/%s stays in Redis: its namespace is being deleted", key.namespace, key.name)
            self._ending.add(key)
            return False
        return True

    async def _set_finalizer(self, obj: Object, *, wanted: bool) -> None:
        """Adds or removes our finalizer; those of others stay."""
        meta = obj["metadata"]
        others = [name for name in meta.get("finalizers") or () if name != names.PURGE_FINALIZER]
        finalizers = [*others, names.PURGE_FINALIZER] if wanted else others
        try:
            answer = await self.api.set_finalizers(CONNECTION, obj, finalizers)
        except NotFoundError:
            self.cache.remove(CONNECTION.kind, obj)
            return
        if answer["metadata"].get("deletionTimestamp") and not finalizers:
            self.cache.remove(CONNECTION.kind, answer)  # nothing holds it any more
        else:
            self.cache.put(CONNECTION.kind, answer, silent=True)

    def _latest(self, key: Key, obj: Object) -> Object:
        """The object as it is now, after a write of ours."""
        return self.cache.get(CONNECTION.kind, key.namespace, key.name) or obj

    def _gather(self, key: Key, connection: Connection) -> World:
        placement = self._place(connection)
        if isinstance(placement, Refusal):
            fetcher, report = None, ReportView()
        else:
            fetcher = self._observe_fetcher(placement)
            report = self.reports.view(placement, key.name)
        return World(
            now=self.now(),
            config=self.config,
            placement=placement,
            fetcher=fetcher,
            report=report,
            probes=tuple(observe_probe(*job) for job in self._jobs_of(connection, names.PROBE_APP)),
            purges=tuple(observe_purge(*job) for job in self._jobs_of(connection, names.PURGE_APP)),
            busy=self._fetchers.busy(connection) if connection.deleting and connection.held else "",
            namespace_ends=key in self._ending,
            same_mailbox=plan.same_mailbox(connection, self.same_mailbox(key.namespace, connection.identity)),
            consumer_groups=plan.consumer_groups(self.same_stream(connection)),
            last_written=self._written.get(key),
            uptime=self.reports.uptime,
        )

    def _place(self, connection: Connection) -> FetcherKey | Refusal:
        return plan.placement(connection, self.same_pool(connection.namespace, index.wanted_fetcher(connection)))

    def _observe_fetcher(self, fetcher: FetcherKey) -> FetcherView | None:
        deployment = self.cache.get(DEPLOYMENT.kind, fetcher.namespace, fetcher.name)
        pods = self.cache.find(index.by_label(POD.kind, fetcher.namespace, names.FETCHER_LABEL, fetcher.name))
        return observe_fetcher(fetcher, deployment, pods) if deployment else None

    def _jobs_of(self, connection: Connection, app: str) -> Iterator[tuple[Object, list[Object]]]:
        """Jobs of one sort with their pods."""
        where = (connection.namespace, names.CONNECTION_LABEL, connection.name)
        jobs, pods = (self.cache.find(index.by_label(kind.kind, *where)) for kind in (JOB, POD))
        for job in jobs:
            meta = job["metadata"]
            mine = _owned(job, connection.uid) or meta["annotations"].get(names.CONNECTION_UID) == connection.uid
            if mine and meta["labels"].get(names.APP_LABEL) == app:
                yield job, [pod for pod in pods if _owned(pod, meta["uid"])]

    async def _write_status(self, key: Key, obj: Object, status: Object) -> bool:
        """Writes the status if it differs; a later plan starts from what was written."""
        if status == (obj.get("status") or {}):
            return False
        meta = obj["metadata"]
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {
                "namespace": key.namespace,
                "name": key.name,
                "uid": meta["uid"],
                "resourceVersion": meta["resourceVersion"],
            },
            "status": status,
        }
        try:
            answer = await self.api.apply_status(CONNECTION, manifest)
        except NotFoundError:
            # Deleted, and the watch will tell so; if it missed that, nobody else would.
            self.cache.remove(CONNECTION.kind, obj)
            return False
        self._written[key] = self.now()
        self.cache.put(CONNECTION.kind, answer, silent=True)
        if asked(answer) != asked(obj):
            self.add(key)  # somebody changed it meanwhile, and the watch will bring nothing newer
        return True

    async def _reread(self, key: Key, obj: Object) -> None:
        """The object was changed since it was planned from. The watch tells that too, but maybe later, or never."""
        logger.info("the status of %s/%s was planned from an old object: once more", key.namespace, key.name)
        try:
            found = await self.api.get(CONNECTION.path(namespace=key.namespace, name=key.name))
        except NotFoundError:
            self.cache.remove(CONNECTION.kind, obj)
            return
        self.cache.put(CONNECTION.kind, found)

    def _forget(self, key: Key) -> None:
        self._written.pop(key, None)
        self._ending.discard(key)
        self._parsed.pop(self._fetchers.forget(key), None)


def _owned(obj: Object, uid: str) -> bool:
    return any(ref["uid"] == uid for ref in obj["metadata"].get("ownerReferences") or ())


def asked(obj: Object) -> tuple[Any, ...]:
    """What people ask for: everything of an object that a plan reads besides the status."""
    meta = obj["metadata"]
    own = {k: v for k, v in (meta.get("annotations") or {}).items() if k.startswith(names.GROUP)}
    return meta.get("generation"), own, meta.get("deletionTimestamp"), meta.get("finalizers")
