"""Reconciling: gather what is known, ask the plan, apply what it says.

There are two kinds of keys. A *connection* gets its status and probe Jobs; what it has to do is then remembered here
and handed to its *fetcher*, whose ConfigMap and Deployment serve many connections. Every step may be the last one
before a crash: the next start plans again from the objects and comes to the same end.

The order within a connection is a promise: an assignment is given only after the status that it relies on (approval,
state id) was written, and is taken away before. A status is written only over the one that it was planned from, so that
a process that wakes from a long sleep, or an answer that comes late, never brings an ended approval back.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from mailfetch_fetcher.contract import assignment as contract
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_operator import index, names, plan
from mailfetch_operator.api.children import Children
from mailfetch_operator.api.client import Api, ConflictError, NotFoundError
from mailfetch_operator.api.kinds import CONFIG_MAP, CONNECTION, DEPLOYMENT, JOB, POD
from mailfetch_operator.cache import Cache
from mailfetch_operator.events import Events
from mailfetch_operator.model import Config, Connection, FetcherKey, FetcherView, ProbeView, Refusal, ReportView, World
from mailfetch_operator.reports import Reports
from mailfetch_operator.status.observe import observe_fetcher, observe_probe

logger = logging.getLogger(__name__)

Object = dict[str, Any]

RESYNC = 1800.0
"""Seconds after which every connection is planned again although nothing happened."""
SETTLE = 1.0
"""Seconds after a written status until it is planned again: what was written may call for a next step."""


class Key(NamedTuple):
    """What the queue holds; `kind` is `connection` or `fetcher`."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What this process last decided about a connection."""

    uid: str
    fetcher: FetcherKey | None
    assignment: Assignment | None


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
        self._planned: dict[Key, Planned] = {}
        self._written: dict[Key, datetime] = {}
        self._parsed: dict[str, tuple[str, Connection]] = {}

    async def work(self, key: Key) -> float | None:
        """Reconciles a key; returns when it is due again.

        Raises:
            ApiError: the API server refused something; to be tried again.
        """
        if key.kind == "fetcher":
            await self._fetcher(FetcherKey(namespace=key.namespace, name=key.name))
            return None
        obj = self.cache.get(CONNECTION.kind, key.namespace, key.name)
        if obj is None:
            self._forget(key)
            return None
        return await self._connection(key, obj)

    def refused(self, namespace: str) -> list[Key]:
        """The connections of a namespace that no fetcher has room for."""
        return [key for key, planned in self._planned.items() if key.namespace == namespace and not planned.fetcher]

    def connection(self, obj: Object) -> Connection:
        """The object, parsed once per version."""
        uid, version = obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]
        known = self._parsed.get(uid)
        if known and known[0] == version:
            return known[1]
        parsed = Connection.from_object(obj)
        self._parsed[uid] = (version, parsed)
        return parsed

    def same_pool(self, namespace: str, fetcher: str) -> list[Connection]:
        """All connections that want to be served by a fetcher."""
        return [self.connection(o) for o in self.cache.find(index.by_fetcher(namespace, fetcher))]

    def same_mailbox(self, namespace: str, identity: str) -> list[Connection]:
        """All connections that mean a mailbox."""
        return [self.connection(o) for o in self.cache.find(index.by_mailbox(namespace, identity))]

    async def _connection(self, key: Key, obj: Object) -> float:
        connection = self.connection(obj)
        world = self._gather(key, connection)
        decided = plan.plan_connection(connection, world)
        fetcher = world.placement if isinstance(world.placement, FetcherKey) else None
        if decided.assignment is None:
            self._assign(key, connection, fetcher, None)
        for job in decided.delete_jobs:
            await self.children.remove_probe(key.namespace, job)
        if decided.probe:
            await self.children.create_probe(decided.probe)
        try:
            written = await self._write_status(key, obj, decided.status)
        except ConflictError:
            await self._reread(key, obj)
            return SETTLE
        if decided.assignment is not None:
            self._assign(key, connection, fetcher, decided.assignment)
        for event in decided.events:
            await self.events.send(obj, event)
        due = RESYNC * (0.8 + 0.2 * self.rand())
        if decided.requeue_after is not None:
            due = min(due, decided.requeue_after)
        return min(due, SETTLE) if written else due

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
            probes=self._observe_probes(connection),
            same_mailbox=plan.same_mailbox(connection, self.same_mailbox(key.namespace, connection.identity)),
            last_written=self._written.get(key),
            uptime=self.reports.uptime,
        )

    def _place(self, connection: Connection) -> FetcherKey | Refusal:
        return plan.placement(connection, self.same_pool(connection.namespace, index.wanted_fetcher(connection)))

    def _observe_fetcher(self, fetcher: FetcherKey) -> FetcherView | None:
        deployment = self.cache.get(DEPLOYMENT.kind, fetcher.namespace, fetcher.name)
        pods = self.cache.find(index.by_label(POD.kind, fetcher.namespace, names.FETCHER_LABEL, fetcher.name))
        return observe_fetcher(fetcher, deployment, pods) if deployment else None

    def _observe_probes(self, connection: Connection) -> tuple[ProbeView, ...]:
        where = (connection.namespace, names.CONNECTION_LABEL, connection.name)
        jobs, pods = (self.cache.find(index.by_label(kind.kind, *where)) for kind in (JOB, POD))
        return tuple(observe_probe(job, _of_job(job, pods)) for job in jobs if _owned(job, connection.uid))

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

    def _assign(
        self, key: Key, connection: Connection, fetcher: FetcherKey | None, assignment: Assignment | None
    ) -> None:
        before = self._planned.get(key)
        after = Planned(uid=connection.uid, fetcher=fetcher, assignment=assignment)
        self._planned[key] = after
        if before == after:
            return
        for one in {before.fetcher if before else None, fetcher}:
            if one:
                self.add(Key("fetcher", one.namespace, one.name))

    def _forget(self, key: Key) -> None:
        self._written.pop(key, None)
        before = self._planned.pop(key, None)
        if before:
            self._parsed.pop(before.uid, None)
            if before.fetcher:
                self.add(Key("fetcher", before.fetcher.namespace, before.fetcher.name))

    async def _fetcher(self, fetcher: FetcherKey) -> None:
        owners, assignments, undecided = self._members(fetcher)
        if undecided and not assignments:
            return  # nothing is known yet; the connections come first and bring us here again
        decided = plan.plan_fetcher(fetcher, assignments, owners, self.config)
        if decided.delete:
            await self.children.remove_fetcher(fetcher.namespace, fetcher.name)
            self.reports.fetcher_gone(fetcher)
            return
        for manifest in decided.apply:
            digest = await self.children.ensure(manifest)
            if manifest["kind"] == CONFIG_MAP.kind:
                await self.children.refresh_mounts(fetcher.namespace, fetcher.name, digest)

    def _members(self, fetcher: FetcherKey) -> tuple[list[Connection], list[Assignment], bool]:
        """The connections that the fetcher serves, what they have to do, and whether any is not decided yet.

        One that this process did not decide about yet keeps what the ConfigMap says, so that a restarting operator
        neither stops mailboxes nor waits for all of them.
        """
        owners, assignments, undecided = [], [], False
        live = self._live_assignments(fetcher)
        for connection in self.same_pool(fetcher.namespace, fetcher.name):
            planned = self._planned.get(Key("connection", connection.namespace, connection.name))
            if planned and planned.uid == connection.uid:
                found = planned.assignment if planned.fetcher == fetcher else None
            elif self._place(connection) == fetcher:
                undecided = True
                found = live.get(connection.uid)
            else:
                found = None
            if found:
                owners.append(connection)
                assignments.append(found)
        return owners, assignments, undecided

    def _live_assignments(self, fetcher: FetcherKey) -> dict[str, Assignment]:
        config_map = self.cache.get(CONFIG_MAP.kind, fetcher.namespace, fetcher.name) or {}
        text = (config_map.get("data") or {}).get(contract.FILE_NAME, "")
        try:
            return {one.uid: one for one in contract.decode(text).connections} if text else {}
        except (ValueError, RecursionError):
            logger.warning("ConfigMap %s/%s is unreadable and is written anew", fetcher.namespace, fetcher.name)
            return {}


def _owned(obj: Object, uid: str) -> bool:
    return any(ref["uid"] == uid for ref in obj["metadata"].get("ownerReferences") or ())


def _of_job(job: Object, pods: list[Object]) -> list[Object]:
    return [pod for pod in pods if _owned(pod, job["metadata"]["uid"])]


def asked(obj: Object) -> tuple[Any, ...]:
    """What people ask for: everything of an object that a plan reads besides the status."""
    meta = obj["metadata"]
    own = {k: v for k, v in (meta.get("annotations") or {}).items() if k.startswith(names.GROUP)}
    return meta.get("generation"), own, meta.get("deletionTimestamp")
