"""The plan: what a connection's status and children should be, from the object and the world alone.

Computed the same after any crash. The I/O half applies it in this order: delete Jobs, create the probe Job, write the
status, then send the events; and it plans with the status that it last wrote, never an older one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_operator.model import Config, Connection, EventPlan, FetcherKey, Manifest, Refusal, World


@dataclass(frozen=True, kw_only=True)
class ConnectionPlan:
    """What to do for one connection.

    Attributes:
        status: The full desired status; equal to the present one if there is nothing to write.
        assignment: What its fetcher is to do, None if nothing.
        probe: Manifest of a probe Job to create.
        delete_jobs: Probe Jobs to delete.
        events: To be sent once the status was written.
        requeue_after: Seconds until it should be planned again although nothing changes.
    """

    status: dict[str, Any]
    assignment: Assignment | None = None
    probe: Manifest | None = None
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
    raise NotImplementedError


def plan_fetcher(
    key: FetcherKey, assignments: Sequence[Assignment], owners: Sequence[Connection], config: Config
) -> FetcherPlan:
    """Decides everything about one fetcher; `owners` are the connections that it serves."""
    raise NotImplementedError


def placement(connection: Connection, connections: Sequence[Connection]) -> FetcherKey | Refusal:
    """Which fetcher runs the connection; `connections` are all of its namespace, in any order."""
    raise NotImplementedError


def same_mailbox(connection: Connection, connections: Sequence[Connection]) -> tuple[str, ...]:
    """Names of the other enabled connections of the namespace that mean the same mailbox."""
    raise NotImplementedError
