"""A connection, its probe Jobs and its fetcher in memory: plans are applied as the operator would apply them."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from mailfetch_fetcher.contract.assignment import Assignment, fingerprint
from mailfetch_fetcher.contract.probe import Estimate, ProbeResult, Step, StoreState
from mailfetch_fetcher.contract.report import ConnectionReport, Problem
from mailfetch_operator import names
from mailfetch_operator.model import (
    Config,
    Connection,
    EventPlan,
    FetcherKey,
    FetcherView,
    ProbeView,
    Refusal,
    ReportView,
    World,
)
from mailfetch_operator.plan import ConnectionPlan, placement, plan_connection
from mailfetch_operator.status.observe import observe_probe
from mailfetch_operator.status.times import rfc3339

START = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
CONFIG = Config(image="mailfetch:test", cluster_id="cluster-1", version="0.1.0")
KEY = FetcherKey(namespace="helpdesk", name="mailfetch-pool-default")
READY = FetcherView(key=KEY, exists=True, ready=True)
STEPS = tuple(Step(name=n, ok=True, milliseconds=3) for n in ("dns", "tcp", "tls", "capability", "login", "folder"))

SPEC: dict[str, Any] = {
    "protocol": "IMAP",
    "server": {"host": "imap.example.com"},
    "auth": {
        "type": "Password",
        "username": "support@example.com",
        "passwordSecretRef": {"name": "support-mailbox", "key": "password"},
    },
}


def manifest(
    name: str = "support",
    *,
    spec: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    created: str = "2026-01-01T00:00:00Z",
) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "helpdesk",
            "name": name,
            "uid": f"uid-{name}",
            "generation": 1,
            "creationTimestamp": created,
            "annotations": dict(annotations or {}),
        },
        "spec": copy.deepcopy(dict(spec if spec is not None else SPEC)),
    }


def problem(reason: Any = "AuthFailed", message: str = "The server refused the password.") -> Problem:
    return Problem(reason=reason, message=message, time="2026-01-31T11:59:00Z")


def estimate(new: int, **fields: Any) -> Estimate:
    return Estimate(new_messages=new, total_messages=max(new, 20), unseen_messages=1, method="UidRange", **fields)


class Sim:
    """One connection. `step` plans once and applies; `settle` does so until nothing changes any more."""

    def __init__(self, obj: dict[str, Any] | None = None, /, **annotations: str) -> None:
        self.obj = obj or manifest()
        self.annotate(**annotations)
        self.now = START
        self.jobs: dict[str, ProbeView] = {}
        self.fetcher: FetcherView | None = READY
        self.report = ReportView(age=1.0)
        self.placement: FetcherKey | Refusal | None = None
        self.same_mailbox: tuple[str, ...] = ()
        self.consumer_groups = frozenset({"tickets"})
        self.uptime = 1e6
        self.written: datetime | None = None
        self.writes = 0
        self.events: list[EventPlan] = []
        self.plan = ConnectionPlan(status={})

    # -- what people do

    def annotate(self, **annotations: str) -> None:
        for name, value in annotations.items():
            self.obj["metadata"]["annotations"][f"{names.GROUP}/{name}"] = value

    def edit(self, **fields: Any) -> None:
        self.obj["spec"] |= fields
        self.obj["metadata"]["generation"] += 1

    # -- what the cluster does

    @property
    def connection(self) -> Connection:
        return Connection.from_object(self.obj)

    def world(self) -> World:
        return World(
            now=self.now,
            config=CONFIG,
            placement=self.placement or placement(self.connection, [self.connection]),
            fetcher=self.fetcher,
            report=self.report,
            probes=tuple(self.jobs.values()),
            same_mailbox=self.same_mailbox,
            consumer_groups=self.consumer_groups,
            last_written=self.written,
            uptime=self.uptime,
        )

    def step(self) -> ConnectionPlan:
        plan = self.plan = plan_connection(self.connection, self.world())
        for name in plan.delete_jobs:
            del self.jobs[name]
        if plan.probe:
            view = observe_probe(plan.probe, [])
            assert view.job_name not in self.jobs
            self.jobs[view.job_name] = view
        if plan.status != self.obj.get("status", {}):
            self.obj["status"] = copy.deepcopy(plan.status)
            self.written = self.now
            self.writes += 1
        self.events += plan.events
        return plan

    def settle(self) -> ConnectionPlan:
        for _ in range(10):
            before = copy.deepcopy((self.obj, self.jobs))
            plan = self.step()
            if (self.obj, self.jobs) == before:
                return plan
        raise AssertionError("the plan never comes to rest")

    def after(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def expire_jobs(self) -> None:
        self.jobs = {name: job for name, job in self.jobs.items() if job.state == "running"}

    @property
    def running(self) -> ProbeView | None:
        return next((job for job in self.jobs.values() if job.state == "running"), None)

    def end_probe(self, **result: Any) -> None:
        """Ends the running Job; without arguments it leaves no result."""
        job = self.running
        assert job, "no probe Job is running"
        found = ProbeResult(uid="uid-support", fingerprint=job.fingerprint, time=rfc3339(self.now), **result)
        failed = not result or bool(result.get("problem"))
        self.jobs[job.job_name] = replace(
            job,
            state="failed" if failed else "succeeded",
            result=found if result else None,
            problem="" if result else "Failed (DeadlineExceeded)",
            finished_at=self.now,
        )

    def count(self, new: int, *, state: StoreState | None = None, **fields: Any) -> None:
        """Ends the running Job with an estimate."""
        self.end_probe(steps=STEPS, estimate=estimate(new, **fields), state=state or StoreState(), uid_validity="17")

    def say(self, *, age: float = 1.0, assignment: Assignment | None = None, **fields: Any) -> None:
        """The fetcher reports about the assignment that it has."""
        given = assignment or self.plan.assignment
        assert given, "there is no assignment"
        base: dict[str, Any] = {"phase": "Listening", "state_id": "s1", "connected": True, "uid_validity": "17"}
        report = ConnectionReport(
            uid=given.uid,
            generation=given.generation,
            fingerprint=fingerprint(given),
            identity=given.identity,
            **base | fields,
        )
        self.report = ReportView(report=report, age=age, pod="pod-1")

    def change_report(self, **fields: Any) -> None:
        assert self.report.report
        self.report = replace(self.report, report=msgspec.structs.replace(self.report.report, **fields))

    # -- what people see

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.obj["status"]
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        return next((c for c in self.status["conditions"] if c["type"] == kind), {})

    def state(self, kind: str = "Ready") -> tuple[str, str]:
        found = self.condition(kind)
        return found["status"], found["reason"]

    def told(self) -> list[str]:
        """Reasons of the events since the last call."""
        found = [event.reason for event in self.events]
        self.events.clear()
        return found


def opened(new: int = 5, **annotations: str) -> Sim:
    """A connection whose gate is open and whose fetcher listens."""
    sim = Sim(**{"enable": "true"} | annotations)
    sim.settle()
    sim.count(new)
    sim.settle()
    sim.say()
    sim.settle()
    assert sim.state() == ("True", "Idle"), sim.condition("Ready")
    sim.told()
    return sim
