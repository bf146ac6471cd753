"""A reconciler with all that it touches, plans that the test dictates, and an API that refuses when told to."""

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

from mailfetch_fetcher.contract import assignment as contract
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_operator import index
from mailfetch_operator.api.children import Children
from mailfetch_operator.api.client import Api, ApiError, ConflictError
from mailfetch_operator.api.kinds import Kind
from mailfetch_operator.cache import Cache, Object
from mailfetch_operator.events import Events
from mailfetch_operator.model import Config, Connection, FetcherKey, Key, ReportView, World
from mailfetch_operator.plan import ConnectionPlan
from mailfetch_operator.reconcile import Reconciler
from mailfetch_operator.reports import Reports

FETCHER = FetcherKey(namespace="ns", name="mailfetch-pool-default")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeApi:
    """Accepts everything but what is refused, and notes it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.refuse: dict[str, ApiError] = {}
        self.meanwhile: Callable[[Object], None] = lambda _: None
        self.objects: dict[str, Object] = {}
        self._version = 1000

    async def apply_status(self, _kind: Kind, manifest: Object) -> Object:
        answer: Object = json.loads(json.dumps(self.objects[manifest["metadata"]["name"]]))
        if manifest["metadata"]["resourceVersion"] != answer["metadata"]["resourceVersion"]:
            raise ConflictError(409, "the object has been modified")
        self._note("status")
        answer["status"] = manifest["status"]
        self.meanwhile(answer)
        self.objects[manifest["metadata"]["name"]] = self._versioned(answer)
        return answer

    async def get(self, path: str) -> Object:
        name = path.rpartition("/")[2]
        if error := self.refuse.get(f"get {name}"):
            raise error
        return self.objects[name]

    async def apply(self, kind: Kind, manifest: Object) -> Object:
        self._note(f"apply {kind.kind}")
        answer = json.loads(json.dumps(manifest))
        answer["metadata"]["uid"] = f"uid-{kind.kind}"
        return self._versioned(answer)

    async def create(self, kind: Kind, manifest: Object) -> Object:
        self._note(f"create {kind.kind} {manifest.get('reason', '')}".strip())
        answer = json.loads(json.dumps(manifest))
        answer["metadata"]["uid"] = f"uid-{kind.kind}"
        return self._versioned(answer)

    async def set_finalizers(self, _kind: Kind, obj: Object, finalizers: Sequence[str]) -> Object:
        name = obj["metadata"]["name"]
        self._note(f"finalizers {' '.join(finalizers)}".strip())
        answer: Object = json.loads(json.dumps(self.objects[name]))
        if obj["metadata"]["resourceVersion"] != answer["metadata"]["resourceVersion"]:
            raise ConflictError(409, "the object has been modified")
        answer["metadata"]["finalizers"] = list(finalizers)
        self.objects[name] = self._versioned(answer)
        return answer

    async def delete(self, kind: Kind, *, namespace: str, name: str, uid: str) -> None:
        self._note(f"delete {kind.kind} {namespace}/{name} {uid}")

    def _note(self, what: str) -> None:
        if error := self.refuse.get(what):
            raise error
        self.log.append(what)

    def _versioned(self, answer: Object) -> Object:
        self._version += 1
        answer["metadata"]["resourceVersion"] = str(self._version)
        return answer


class FakeReports:
    uptime = math.inf

    def __init__(self) -> None:
        self.views: dict[str, ReportView] = {}

    def view(self, _fetcher: FetcherKey, connection: str) -> ReportView:
        return self.views.get(connection, ReportView())

    def fetcher_gone(self, _fetcher: FetcherKey) -> None:
        pass


@dataclass(kw_only=True)
class Desk:
    """A reconciler and all that it touches. `plans` says what is decided about each connection."""

    api: FakeApi = field(default_factory=FakeApi)
    plans: dict[str, ConnectionPlan] = field(default_factory=dict)
    seen: list[tuple[Connection, World]] = field(default_factory=list)
    added: list[Key] = field(default_factory=list)
    reports: FakeReports = field(default_factory=FakeReports)
    now: datetime = NOW

    def __post_init__(self) -> None:
        api = cast(Api, self.api)
        self.cache = Cache(changed=lambda *_: None, index=index.keys)
        self.reconciler = Reconciler(
            api=api,
            cache=self.cache,
            children=Children(api=api, cache=self.cache),
            events=Events(api=api, now=lambda: self.now),
            reports=cast(Reports, self.reports),
            config=Config(image="image", cluster_id="cluster"),
            add=self.added.append,
            now=lambda: self.now,
            rand=lambda: 1.0,
        )

    def plan(self, connection: Connection, world: World) -> ConnectionPlan:
        self.seen.append((connection, world))
        return self.plans[connection.name]

    def make(self, name: str = "one", version: int = 1, **meta: Any) -> Object:
        obj: Object = {
            "metadata": {
                "name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version), "generation": 1,
                **meta,
            },
            "spec": {
                "protocol": "IMAP",
                "server": {"host": "imap.example.com"},
                "auth": {"type": "Password", "username": "u", "passwordSecretRef": {"name": "s"}},
            },
        }  # fmt: skip
        self.api.objects[name] = obj
        self.cache.put("MailConnection", obj)
        return obj

    def work(self, name: str = "one") -> float | None:
        return asyncio.run(self.reconciler.work(Key("connection", "ns", name)))

    def work_fetcher(self) -> list[str]:
        """Reconciles the fetcher; says which connections its ConfigMap holds afterwards."""
        asyncio.run(self.reconciler.work(Key("fetcher", "ns", FETCHER.name)))
        return self.assigned()

    def assigned(self) -> list[str]:
        config_map = self.cache.get("ConfigMap", "ns", FETCHER.name)
        if config_map is None:
            return []
        return [a.name for a in contract.decode(config_map["data"][contract.FILE_NAME]).connections]

    def has_config_map(self, text: str) -> None:
        labels = {"mailfetch.dev/fetcher": FETCHER.name}
        meta = {"name": FETCHER.name, "namespace": "ns", "uid": "cm", "resourceVersion": "5", "labels": labels}
        self.cache.put("ConfigMap", {"metadata": meta, "data": {contract.FILE_NAME: text}})


def given(desk: Desk, name: str = "one", **fields: Any) -> Assignment:
    obj = desk.cache.get("MailConnection", "ns", name)
    assert obj is not None
    connection = Connection.from_object(obj)
    assert connection.spec is not None
    return Assignment(
        namespace="ns", name=name, uid=connection.uid, spec=connection.spec, identity=connection.identity, **fields
    )
