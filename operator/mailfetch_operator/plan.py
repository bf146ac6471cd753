"""The plan: what a connection's status and children should be, from the object and the world alone.

Computed the same after any crash. The I/O half applies it in this order: delete Jobs, create the probe Job, write the
status, then send the events; and it plans with the status that it last wrote, never an older one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_fetcher.contract.spec import unsupported
from mailfetch_operator import gate as gates
from mailfetch_operator import names
from mailfetch_operator.desired.fetcher import build_configmap, build_deployment
from mailfetch_operator.desired.probe import build_probe_job
from mailfetch_operator.desired.tools import build_tools
from mailfetch_operator.model import Config, Connection, EventPlan, FetcherKey, Manifest, Refusal, World
from mailfetch_operator.removal import Removal, finalizer, plan_removal
from mailfetch_operator.status import probing as probes
from mailfetch_operator.status.approval import Approval, approve, report_on
from mailfetch_operator.status.build import build_status, known_seq
from mailfetch_operator.status.coarse import coarsen
from mailfetch_operator.status.facts import LOST_AFTER, Facts
from mailfetch_operator.status.probing import Probing
from mailfetch_operator.status.story import events

POOL_LIMIT = 200
"""Connections of one fetcher."""
POOL_BYTES = 600_000
"""Bytes of their specs together. A ConfigMap holds 1 MiB; if it is refused, nothing can be taken out of it either."""

TOOLS_OWNERS = 5
"""The oldest connections own the tools of their namespace. Not all: there may be thousands, and each that comes or goes
would be a write. If the owners go while the operator is away, the tools are made anew when it is back."""

_QUIET = 40.0
"""Seconds without contact (a long poll takes 30) after which it is worth looking again before it counts as lost."""


@dataclass(frozen=True, kw_only=True)
class ConnectionPlan:
    """What to do for one connection.

    Attributes:
        status: The full desired status; equal to the present one if there is nothing to write.
        assignment: What its fetcher is to do, None if nothing.
        probe: Manifest of a probe Job to create.
        delete_jobs: Probe and purge Jobs to delete.
        went_back: The store lies behind what was seen of it: `assignment.seq` must be told, not only when something
            else is.
        purge: Manifest of a purge Job to create.
        finalizer: Whether our finalizer is to be added (True) or removed (False).
        events: To be sent once the status was written and the finalizer is gone.
        requeue_after: Seconds until it should be planned again although nothing changes.
    """

    status: dict[str, Any]
    assignment: Assignment | None = None
    went_back: bool = False
    probe: Manifest | None = None
    purge: Manifest | None = None
    finalizer: bool | None = None
    delete_jobs: tuple[str, ...] = ()
    events: tuple[EventPlan, ...] = ()
    requeue_after: float | None = None


@dataclass(frozen=True, kw_only=True)
class FetcherPlan:
    """What to do for one fetcher: manifests to apply in order, or its Deployment and ConfigMap are to be deleted."""

    apply: tuple[Manifest, ...] = ()
    delete: bool = False


def plan_connection(connection: Connection, world: World) -> ConnectionPlan:
    """Decides everything about one connection."""
    if connection.deleting:
        return _let_go(connection, world)
    if connection.spec is None or unsupported(connection.spec):
        return replace(_leave_alone(connection, world), finalizer=finalizer(connection))
    approval = approve(connection, world)
    runs = approval.gate.open and not connection.spec.suspend and isinstance(world.placement, FetcherKey)
    report = report_on(approval.assignment, world) if runs else None
    handled = _handled(connection, world, approval)
    facts = Facts(
        connection=connection,
        world=world,
        gate=approval.gate,
        probing=approval.seen,
        estimate=approval.current,
        recount=approval.recount,
        report=report,
    )
    status = build_status(
        facts,
        mailbox=_seen(approval.mailbox, report),
        estimate=approval.estimate,
        handled=handled,
        fetcher=world.placement.name if runs and isinstance(world.placement, FetcherKey) else "",
    )
    probe, retry = _plan_probe(connection, world, approval)
    plan = _economical(connection, world, status)
    fetched = status.get("fetch") or {}
    waits = [seconds for seconds in (plan.requeue_after, retry, _silence(world, runs)) if seconds is not None]
    return replace(
        plan,
        assignment=_assign(connection, approval.assignment, handled, fetched) if runs else None,
        went_back="highestSeq" in fetched,
        probe=probe,
        finalizer=finalizer(connection),
        delete_jobs=tuple(dict.fromkeys((*approval.seen.obsolete, *approval.following.obsolete))),
        requeue_after=min(waits, default=None),
    )


def plan_fetcher(
    key: FetcherKey, assignments: Sequence[Assignment], owners: Sequence[Connection], config: Config
) -> FetcherPlan:
    """Decides everything about one fetcher; `owners` are the connections that it serves."""
    if not assignments:
        return FetcherPlan(delete=True)
    children = (
        build_configmap(key, assignments, owners, config),
        build_deployment(key, assignments, owners, config),
    )
    return FetcherPlan(apply=children)


def plan_tools(namespace: str, connections: Sequence[Connection], config: Config) -> Manifest | None:
    """The tools of a namespace; None if nobody needs them. `connections` are all of the namespace, in any order.

    One that is being deleted does not count: with foreground deletion it would take its child along at once.
    """
    owners = sorted((c for c in connections if not c.deleting), key=_age)[:TOOLS_OWNERS]
    return build_tools(namespace, owners, config) if owners else None


def placement(connection: Connection, connections: Sequence[Connection]) -> FetcherKey | Refusal:
    """Which fetcher runs the connection; `connections` are all of its namespace, in any order.

    A pool holds the oldest connections that name it, enabled or not: so nobody's enabling moves another one.
    """
    if connection.spec is None:
        return Refusal(message="The spec cannot be read.")
    wanted = connection.spec.placement
    if wanted.mode == "Dedicated":
        return FetcherKey(namespace=connection.namespace, name=names.dedicated_fetcher(connection.name))
    older = [c for c in connections if _in_pool(c, wanted.pool) and _age(c) < _age(connection)]
    if len(older) >= POOL_LIMIT:
        return Refusal(
            message=f"The pool {wanted.pool} already has {POOL_LIMIT} connections, which is its limit: use another pool"
            " (set spec.placement.pool to another name)."
        )
    if sum(c.size for c in older) + connection.size > POOL_BYTES:
        return Refusal(
            message=f"The specs of the connections of the pool {wanted.pool} are too large together (more than"
            f" {POOL_BYTES:,} bytes): use another pool (set spec.placement.pool to another name)."
        )
    return FetcherKey(namespace=connection.namespace, name=names.pool_fetcher(wanted.pool))


def same_mailbox(connection: Connection, connections: Sequence[Connection]) -> tuple[str, ...]:
    """Names of the other enabled connections of the namespace that mean the same mailbox."""
    if not connection.enabled or not connection.identity:
        return ()
    others = (c for c in connections if c.uid != connection.uid and c.enabled and not c.deleting)
    return tuple(sorted(c.name for c in others if c.identity == connection.identity))


def consumer_groups(connections: Sequence[Connection]) -> frozenset[str]:
    """The groups that retention waits for, of all connections of one stream."""
    specs = [c.spec for c in connections if c.spec and not c.deleting]
    named = {group for spec in specs for group in spec.queue.consumer_groups}
    return frozenset(named | {spec.after_download.consumer_group for spec in specs} - {""})


def _in_pool(connection: Connection, pool: str) -> bool:
    spec = connection.spec
    if spec is None or connection.deleting:
        return False
    return spec.placement.mode == "Shared" and spec.placement.pool == pool


def _age(connection: Connection) -> tuple[Any, ...]:
    return connection.created, connection.name


def _let_go(connection: Connection, world: World) -> ConnectionPlan:
    """A connection that was deleted gets nothing to do; with `deletionPolicy: Purge` its data goes first."""
    if not connection.held:
        return ConnectionPlan(status=dict(connection.status))
    removal = plan_removal(connection, world)
    if removal.release:
        return ConnectionPlan(status=dict(connection.status), finalizer=False, events=removal.events)
    plan = _leave_alone(connection, world, removal=removal)
    return replace(plan, purge=removal.job, delete_jobs=removal.delete_jobs, requeue_after=removal.requeue_after)


def _leave_alone(connection: Connection, world: World, *, removal: Removal | None = None) -> ConnectionPlan:
    """A spec that this version cannot run, or that is being deleted: the conditions say so, nothing else is touched.

    Disabling ends the approval all the same: otherwise it would come back with a corrected spec, uncounted.
    """
    before = connection.status
    gate = gates.read(connection)
    if not connection.enabled:
        gate = gates.close(gate, "Disabled")
    facts = Facts(connection=connection, world=world, gate=gate, probing=Probing(handled={}), removal=removal)
    status = build_status(
        facts,
        mailbox=before.get("mailbox") or {},
        estimate=before.get("estimate") or {},
        handled=before.get("handledRequests") or {},
        fetcher="",
    )
    return _economical(connection, world, status)


def _economical(connection: Connection, world: World, status: dict[str, Any]) -> ConnectionPlan:
    """The status, unless writing it can wait, and the events of what is written."""
    coarse = coarsen(connection.status, status, now=world.now, last_written=world.last_written)
    return ConnectionPlan(
        status=coarse.status, events=events(connection.status, coarse.status), requeue_after=coarse.again_in
    )


def _handled(connection: Connection, world: World, approval: Approval) -> dict[str, str]:
    """`status.handledRequests`: what probes and the fetcher have done."""
    handled: dict[str, str] = dict(connection.status.get("handledRequests") or {})
    handled |= approval.seen.handled
    report = world.report.report
    if report and report.uid == connection.uid:
        asked = {name: connection.request(name) for name in names.FETCHER_REQUESTS}
        handled |= {name: value for name, value in asked.items() if value and report.requests.get(name) == value}
    return handled


def _seen(mailbox: Mapping[str, str], report: ConnectionReport | None) -> dict[str, str]:
    """`status.mailbox` with what the fetcher found: from now on the absence of this state is a loss."""
    if report is None:
        return dict(mailbox)
    found = {"stateId": report.state_id, "uidValidity": report.uid_validity}
    return dict(mailbox) | {name: value for name, value in found.items() if value}


def _assign(
    connection: Connection, assignment: Assignment, handled: Mapping[str, str], fetched: Mapping[str, Any]
) -> Assignment:
    """The assignment with the requests that are not done yet, the one that is a standing permission, and `seq`."""
    asked = {name: connection.request(name) for name in names.FETCHER_REQUESTS}
    requests = {name: value for name, value in asked.items() if value and value != handled.get(name)}
    if allowed := asked["resume-actions"]:
        requests["resume-actions"] = allowed[:20]
    return msgspec.structs.replace(assignment, requests=requests, seq=known_seq(fetched, assignment.state_id))


def _plan_probe(connection: Connection, world: World, approval: Approval) -> tuple[Manifest | None, float | None]:
    """The probe Job to create, or the seconds until a failed one is tried again."""
    jobs, asked = approval.following, probes.requests(connection, approval.seen)
    if jobs.running:
        return None, None
    if not asked:
        if not approval.wanted or jobs.succeeded:
            return None, None
        if jobs.ended is None and approval.current and not approval.recount:
            return None, None
        if pause := probes.retry_in(jobs, now=world.now):
            return None, pause
    return build_probe_job(connection, approval.assignment, asked, jobs.serial, world.config), None


def _silence(world: World, runs: bool) -> float | None:
    """Seconds until a fetcher that does not answer counts as lost; None while it answers."""
    if not runs:
        return None
    age = world.uptime if world.report.age is None else world.report.age
    running = world.fetcher is not None and world.fetcher.ready
    quiet = world.report.age is None or age > _QUIET or not running
    return LOST_AFTER - age + 1 if quiet and age <= LOST_AFTER else None
