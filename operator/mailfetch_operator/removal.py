"""`deletionPolicy: Purge`: a deleted connection stays until its data in Redis was removed. Pure.

The order: its fetcher stops, a purge Job removes the data, then the finalizer goes. A failing purge is told and tried
again; people end the waiting by setting `deletionPolicy` back to Retain, which needs no running Redis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailfetch_operator.desired.purge import build_purge_job
from mailfetch_operator.model import Connection, EventPlan, Manifest, PurgeView, World

PATIENCE = timedelta(minutes=5)
"""How long a fetcher that does not answer is waited for. Then the lease in Redis decides: as long as somebody holds it,
the purge fails and is tried again."""

_LOOK = 5.0
"""Seconds until a fetcher is looked at again."""
_BACKOFF = (10.0, 300.0)
"""Seconds after the first failure and at most; less than ended Jobs live, or the count would begin anew."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """How far it is, and the next step.

    Attributes:
        message: For people; empty if there is nothing to say any more.
        failed: The last try failed.
        release: The finalizer may go.
        job: Manifest of a purge Job to create.
        delete_jobs: Purge Jobs that a newer one replaces.
        events: To be sent once the finalizer is gone.
        requeue_after: Seconds until it should be planned again although nothing changes.
    """

    message: str = ""
    failed: bool = False
    release: bool = False
    job: Manifest | None = None
    delete_jobs: tuple[str, ...] = ()
    events: tuple[EventPlan, ...] = ()
    requeue_after: float | None = None


def finalizer(connection: Connection) -> bool | None:
    """Whether a connection that nobody deleted gets the finalizer (True), loses it (False), or neither (None)."""
    if connection.spec is None or connection.deleting or connection.purges == connection.held:
        return None
    return connection.purges


def plan_removal(connection: Connection, world: World) -> Removal:
    """The next step for a connection that was deleted and has our finalizer."""
    if connection.spec is None:
        return Removal(
            message="The spec cannot be read, so its data in Redis cannot be found. Correct it.", failed=True
        )
    if not connection.purges:
        return _skipped("spec.deletionPolicy is Retain")
    if world.namespace_ends:
        return _skipped("its namespace is being deleted, and nothing can run in it any more")
    tries = sorted(world.purges, key=lambda p: p.serial)
    last = tries[-1] if tries else None
    if last and last.state == "succeeded":
        text = f"Its data in Redis was removed (deletionPolicy Purge, Job {last.job_name})."
        return Removal(release=True, events=(EventPlan(type="Normal", reason="Purged", action="Purge", note=text),))
    if last and last.state == "running":
        return _trying(connection, tries)
    assert connection.deleted is not None
    if world.busy and world.now - connection.deleted < PATIENCE:
        return Removal(message=f"Its data in Redis is removed next. {world.busy}", requeue_after=_LOOK)
    if last and (pause := _pause(last, now=world.now)):
        return Removal(message=_failure(connection, last), failed=True, requeue_after=pause)
    serial = last.serial + 1 if last else 0
    old = tuple(p.job_name for p in tries[:-1])  # the last one says why, until the next one does
    job = build_purge_job(connection, serial, world.config)
    if last:
        return Removal(message=_failure(connection, last), failed=True, job=job, delete_jobs=old)
    return Removal(message=_RUNNING, job=job)


_RUNNING = "Its data in Redis is being removed (deletionPolicy Purge)."


def _trying(connection: Connection, tries: Sequence[PurgeView]) -> Removal:
    """While it is tried again, the reason of the last failure stands."""
    failed = [p for p in tries if p.state == "failed" or p.problem]
    if failed:
        return Removal(message=_failure(connection, failed[-1]), failed=True)
    return Removal(message=_RUNNING)


def _failure(connection: Connection, view: PurgeView) -> str:
    why = (view.problem or "it ended without a result")[:400].rstrip(". ")
    patch = '{"spec":{"deletionPolicy":"Retain"}}'
    return (
        f"Its data in Redis could not be removed: {why} (Job {view.job_name}). It is tried again. To delete the "
        f"connection and leave the data: kubectl -n {connection.namespace} patch mailconnection {connection.name} "
        f"--type=merge -p '{patch}'"
    )


def _skipped(why: str) -> Removal:
    text = f"Its data in Redis stays: {why}."
    return Removal(release=True, events=(EventPlan(type="Warning", reason="PurgeSkipped", action="Purge", note=text),))


def _pause(view: PurgeView, *, now: datetime) -> float:
    """Seconds until the next try; 0: now."""
    seconds = min(_BACKOFF[1], _BACKOFF[0] * 2.0 ** min(view.serial, 10))
    return max(0.0, ((view.finished_at or now) + timedelta(seconds=seconds) - now).total_seconds())
