"""What the plans are made from: plain values, no I/O, no clock.

The I/O half gathers these (`status/observe.py` turns Deployments, Jobs and Pods into views), calls
`plan.plan_connection` and `plan.plan_fetcher`, and applies what they return.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from mailfetch_fetcher.contract.identity import mailbox_identity
from mailfetch_fetcher.contract.probe import ProbeResult
from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_fetcher.contract.spec import Spec, parse_spec
from mailfetch_operator import names
from mailfetch_operator.status.times import parse

Manifest = dict[str, Any]
"""A Kubernetes object as JSON."""


class Key(NamedTuple):
    """What the work queue holds; `kind` is `connection`, `fetcher` or `tools`."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A MailConnection as it was read.

    Attributes:
        spec: None if it cannot be read; then `spec_error` says why.
        status: `status` as it was read or, better, as it was last written.
        deleted: When somebody deleted it; it stays as long as it has finalizers. None: nobody did.
        identity: Which mailbox the spec means; empty without a spec.
        size: Bytes of the spec in `assignments.json`.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    annotations: Mapping[str, str]
    spec: Spec | None
    spec_error: str
    status: Mapping[str, Any]
    created: datetime
    identity: str
    deleted: datetime | None = None
    finalizers: tuple[str, ...] = ()
    size: int = 0

    @classmethod
    def from_object(cls, obj: Mapping[str, Any]) -> "Connection":
        """Reads an object of the API. It never raises for what people can write into one."""
        meta = obj["metadata"]
        spec, error = None, ""
        try:
            spec = parse_spec(obj.get("spec"))
        except ValueError as e:
            error = str(e)
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            annotations=meta.get("annotations") or {},
            spec=spec,
            spec_error=error,
            status=obj.get("status") or {},
            created=datetime.fromisoformat(meta.get("creationTimestamp") or "1970-01-01T00:00:00Z").astimezone(UTC),
            deleted=parse(meta.get("deletionTimestamp") or ""),
            finalizers=tuple(meta.get("finalizers") or ()),
            identity=mailbox_identity(spec) if spec else "",
            size=len(msgspec.json.encode(spec)) if spec else 0,
        )

    @property
    def deleting(self) -> bool:
        """Whether somebody deleted it."""
        return self.deleted is not None

    @property
    def stream(self) -> str:
        """Name of its stream; empty without a spec."""
        return (self.spec.queue.stream or self.name) if self.spec else ""

    @property
    def purges(self) -> bool:
        """Whether its data in Redis is to go with it."""
        return self.spec is not None and self.spec.deletion_policy == "Purge"

    @property
    def held(self) -> bool:
        """Whether it has our finalizer, so that it stays until its data was removed."""
        return names.PURGE_FINALIZER in self.finalizers

    @property
    def enabled(self) -> bool:
        """Whether a person enabled it; anything but `true` is disabled."""
        return self.annotations.get(names.ENABLE) == "true"

    def request(self, name: names.Request) -> str:
        """The value of a request annotation (`test`, `estimate`, …), or empty."""
        return self.annotations.get(names.annotation(name), "")[: names.MAX_REQUEST]

    def pending(self, name: names.Request) -> str:
        """The value of a request annotation that is not handled yet, or empty."""
        value = self.request(name)
        handled = self.status.get("handledRequests") or {}
        return "" if value == handled.get(name, "") else value


@dataclass(frozen=True, kw_only=True, order=True)
class FetcherKey:
    """One fetcher Deployment; `name` is `mailfetch-pool-<pool>` or `mconn-<connection>`."""

    namespace: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A connection that gets no fetcher; `message` says what to change."""

    message: str


@dataclass(frozen=True, kw_only=True)
class PodView:
    """A pod. `problem` says why it does not run (ImagePullBackOff …), or is empty."""

    name: str
    uid: str
    ip: str = ""
    ready: bool = False
    phase: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class FetcherView:
    """A fetcher Deployment and its pods.

    Attributes:
        ready: It is fully rolled out and a pod is ready.
        generation: `metadata.generation` of the Deployment.
        observed_generation: `status.observedGeneration` of the Deployment.
        message: Why there is no ready pod, if that is known.
    """

    key: FetcherKey
    exists: bool = False
    ready: bool = False
    generation: int = 0
    observed_generation: int = 0
    pods: tuple[PodView, ...] = ()
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportView:
    """What the fetcher last said about this connection.

    Attributes:
        report: None if the fetcher does not (yet) know the connection.
        age: Seconds since the last contact with that fetcher, whatever it said; None: never since the start.
            When a fetcher does not answer, the I/O half must enqueue its connections again.
        pod: Name of the pod that answered.
        highest: Highest `seq` that this process heard of the state that the report names.
    """

    report: ConnectionReport | None = None
    age: float | None = None
    pod: str = ""
    highest: int = 0


@dataclass(frozen=True, kw_only=True)
class ProbeView:
    """A probe Job of the connection (made by `status.observe.observe_probe`).

    Attributes:
        fingerprint: `assignment.fingerprint` that it was started for.
        requests: Request annotations that it was started for: name → value.
        serial: Counts the runs while Jobs of earlier runs exist; makes the name unique and the back-off longer.
        result: What its container wrote, if it did.
        problem: Why it does not run, or failed without a result.
        finished_at: When it ended, None while it runs.
    """

    job_name: str
    fingerprint: str
    requests: Mapping[str, str] = field(default_factory=dict)
    serial: int = 0
    state: Literal["running", "succeeded", "failed"] = "running"
    result: ProbeResult | None = None
    problem: str = ""
    finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class PurgeView:
    """A purge Job of the connection (made by `status.observe.observe_purge`).

    Attributes:
        serial: Counts the tries.
        problem: Why it does not run, or failed.
        finished_at: When it ended, None while it runs.
    """

    job_name: str
    serial: int = 0
    state: Literal["running", "succeeded", "failed"] = "running"
    problem: str = ""
    finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the operator's settings say about its children.

    Attributes:
        image: Image of fetchers and probes (the operator's own).
        cluster_id: UID of the kube-system namespace, or a value of the chart.
        resources: Resources of fetcher and probe containers, unless a dedicated connection has its own.
        tools_resources: Resources of the tools' container.
        version: For the label `app.kubernetes.io/version`.
    """

    image: str
    cluster_id: str
    version: str = ""
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    tools_resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that a connection's plan depends on besides the object.

    Attributes:
        placement: `plan.placement(...)`.
        fetcher: View of the Deployment that `placement` names; None if it is not there.
        probes: All probe Jobs of the connection that still exist.
        purges: All purge Jobs of the connection that still exist.
        busy: For a connection that is being deleted: why a fetcher may still run it; empty: none does.
        namespace_ends: The API server refused to make something because the namespace is being deleted.
        same_mailbox: `plan.same_mailbox(...)`: other connections on the same mailbox.
        consumer_groups: `plan.consumer_groups(...)`: those that retention waits for.
        last_written: When this process last wrote the status, None if it did not yet.
        uptime: Seconds since this process began to ask the fetchers: a restart must not make every state unknown.
    """

    now: datetime
    config: Config
    placement: FetcherKey | Refusal
    fetcher: FetcherView | None = None
    report: ReportView = ReportView()
    probes: tuple[ProbeView, ...] = ()
    purges: tuple[PurgeView, ...] = ()
    busy: str = ""
    namespace_ends: bool = False
    same_mailbox: tuple[str, ...] = ()
    consumer_groups: frozenset[str] = frozenset()
    last_written: datetime | None = None
    uptime: float = math.inf


@dataclass(frozen=True, kw_only=True)
class EventPlan:
    """An event (events.k8s.io) to send once the status was written."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    note: str
