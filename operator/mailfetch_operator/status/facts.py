"""What the checks look at: the object, the world, and what was already decided about the gate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mailfetch_fetcher.contract.report import ConnectionReport
from mailfetch_fetcher.contract.spec import Spec
from mailfetch_operator import names
from mailfetch_operator.gate import Gate
from mailfetch_operator.model import Connection, World
from mailfetch_operator.removal import Removal
from mailfetch_operator.status.probing import Probing

LOST_AFTER = 90.0
"""Seconds without any contact after which nothing is known of a fetcher."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Gathered by `plan.plan_connection`.

    Attributes:
        gate: After this round's decision.
        estimate: The estimate of the present assignment (as in `status.estimate`), None if there is none.
        recount: The estimate would open the gate, but it is too old: another probe is wanted.
        report: The report about the present assignment; None if there is none, or only about an earlier one.
        removal: The connection was deleted, and its data in Redis goes first.
    """

    connection: Connection
    world: World
    gate: Gate
    probing: Probing
    estimate: Mapping[str, Any] | None = None
    recount: bool = False
    report: ConnectionReport | None = None
    removal: Removal | None = None

    @property
    def spec(self) -> Spec:
        """The spec; only for checks behind `check_spec`."""
        assert self.connection.spec is not None
        return self.connection.spec

    @property
    def age(self) -> float | None:
        """Seconds since the last contact with the fetcher."""
        return self.world.report.age

    @property
    def live(self) -> bool:
        """Whether the report is of now."""
        return self.report is not None and self.age is not None and self.age <= LOST_AFTER

    def previous(self, kind: str) -> Mapping[str, Any]:
        """A condition of the previous status, empty if there was none."""
        conditions = self.connection.status.get("conditions") or ()
        return next((c for c in conditions if c.get("type") == kind), {})

    def command(self, annotation: str, value: str) -> str:
        """The exact command that annotates the connection."""
        c = self.connection
        return f"kubectl -n {c.namespace} annotate mailconnection {c.name} {annotation}={value} --overwrite"

    def enable_command(self) -> str:
        """The exact command that enables the connection."""
        return self.command(names.ENABLE, "true")
