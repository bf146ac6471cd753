"""A connection that was deleted with `deletionPolicy: Purge`: its data goes first, then its finalizer."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mailfetch_fetcher.contract import assignment
from mailfetch_operator.model import Connection, PurgeView
from mailfetch_operator.plan import ConnectionPlan, plan_connection
from tests.unit.operator.pure.sim import SPEC, START, Sim, manifest, opened

FINALIZER = "mailfetch.dev/purge"


def purging(**spec: Any) -> Sim:
    """Was enabled, has the finalizer, and is deleted now."""
    sim = opened(5)
    sim.edit(deletionPolicy="Purge", **spec)
    sim.obj["metadata"] |= {"finalizers": [FINALIZER, "example.com/other"], "deletionTimestamp": "2026-01-31T12:00:00Z"}
    return sim


def step(sim: Sim, *purges: PurgeView, busy: str = "", ends: bool = False, after: float = 0) -> ConnectionPlan:
    sim.after(after)
    world = replace(sim.world(), purges=purges, busy=busy, namespace_ends=ends)
    plan = plan_connection(sim.connection, world)
    sim.obj["status"] = plan.status
    return plan


def view(serial: int = 0, state: Any = "running", problem: str = "", ended: datetime | None = None) -> PurgeView:
    name = f"support-purge-{serial:04}"
    return PurgeView(job_name=name, serial=serial, state=state, problem=problem, finished_at=ended)


@pytest.mark.parametrize(
    ("policy", "held", "wanted"),
    [("Retain", False, None), ("Retain", True, False), ("Purge", False, True), ("Purge", True, None)],
)
@pytest.mark.parametrize("protocol", ["IMAP", "MicrosoftGraph"])
def test_the_finalizer_follows_the_policy(policy: str, held: bool, wanted: bool | None, protocol: str) -> None:
    sim = Sim(manifest(spec=SPEC | {"deletionPolicy": policy, "protocol": protocol}))
    sim.obj["metadata"]["finalizers"] = [FINALIZER] if held else ["example.com/other"]
    assert sim.step().finalizer is wanted


def test_a_spec_that_cannot_be_read_keeps_what_it_has() -> None:
    sim = Sim(manifest(spec={"protocol": "IMAP"}))
    sim.obj["metadata"]["finalizers"] = [FINALIZER]
    assert sim.step().finalizer is None


def test_without_our_finalizer_nothing_is_done() -> None:
    sim = purging()
    sim.obj["metadata"]["finalizers"] = ["example.com/other"]
    plan = step(sim)
    assert (plan.purge, plan.finalizer, plan.assignment, plan.events) == (None, None, None, ())


def test_first_the_fetcher_stops_then_the_data_goes_then_the_object() -> None:
    sim = purging()
    plan = step(sim, busy="Its fetcher mailfetch-pool-default has not confirmed yet that it stopped.")
    assert (plan.assignment, plan.purge, plan.finalizer) == (None, None, None)
    assert plan.requeue_after == 5.0
    assert sim.state() == ("Unknown", "Purging")
    assert "has not confirmed yet" in sim.condition("Ready")["message"]
    assert sim.state("Active") == ("False", "Purging")

    plan = step(sim)
    assert plan.purge
    assert plan.finalizer is None
    assert step(sim).purge == plan.purge, "after a crash the same Job is made again"

    plan = step(sim, view())
    assert (plan.purge, plan.finalizer, plan.events) == (None, None, ())

    plan = step(sim, view(state="succeeded", ended=START))
    assert plan.finalizer is False
    assert [(e.type, e.reason) for e in plan.events] == [("Normal", "Purged")]


def test_a_fetcher_that_never_answers_is_waited_for_only_so_long() -> None:
    """The lease in Redis keeps the two apart."""
    sim = purging()
    assert step(sim, busy="silent", after=299).purge is None
    assert step(sim, busy="silent", after=1).purge


def test_a_purge_that_fails_is_told_and_tried_again_with_longer_pauses() -> None:
    sim = purging()
    failed = view(0, "failed", "StoreUnavailable: Redis does not answer.", START)
    plan = step(sim, failed)
    assert plan.purge is None
    assert plan.requeue_after == 10.0
    assert sim.state() == ("False", "PurgeFailed")
    message = sim.condition("Ready")["message"]
    assert "StoreUnavailable: Redis does not answer (Job support-purge-0000)" in message
    assert """--type=merge -p '{"spec":{"deletionPolicy":"Retain"}}'""" in message
    assert [e.reason for e in plan.events] == ["PurgeFailed"]

    plan = step(sim, failed, after=10)
    assert plan.purge
    assert plan.purge["metadata"]["annotations"]["mailfetch.dev/serial"] == "1"
    plan = step(sim, failed, view(1))
    assert sim.state() == ("False", "PurgeFailed"), "while it is tried again, the reason stands"
    assert (plan.purge, plan.events) == (None, ())

    again = view(1, "failed", "StoreUnavailable: Redis does not answer.", sim.now)
    assert step(sim, failed, again).requeue_after == 20.0
    plan = step(sim, failed, again, after=20)
    assert plan.delete_jobs == (failed.job_name,)
    late = view(9, "failed", "x", sim.now)
    assert step(sim, late).requeue_after == 300.0


def test_a_job_that_does_not_start_is_told() -> None:
    sim = purging()
    step(sim, view(problem="ImagePullBackOff (not found)"))
    assert sim.state() == ("False", "PurgeFailed")
    assert "ImagePullBackOff" in sim.condition("Ready")["message"]


def test_setting_retain_lets_it_go_at_once() -> None:
    sim = purging()
    sim.edit(deletionPolicy="Retain")
    plan = step(sim, view(0, "failed", "x", START), busy="silent")
    assert plan.finalizer is False
    assert [(e.type, e.reason) for e in plan.events] == [("Warning", "PurgeSkipped")]


def test_a_namespace_that_is_deleted_does_not_hang() -> None:
    plan = step(purging(), ends=True)
    assert plan.finalizer is False
    assert "namespace is being deleted" in plan.events[0].note


def test_a_deleted_connection_that_was_disabled_is_not_told_to_be_enabled() -> None:
    sim = Sim(manifest(spec=SPEC | {"deletionPolicy": "Purge"}))
    sim.settle()
    sim.obj["metadata"] |= {"finalizers": [FINALIZER], "deletionTimestamp": "2026-01-31T12:00:00Z"}
    assert [e.reason for e in step(sim).events] == []


def test_the_job_has_redis_but_no_mailbox_and_no_owner() -> None:
    """An owner would let a foreground deletion remove the Job before it has done anything."""
    job = step(purging(folder="$(HOME)")).purge
    assert job
    assert "ownerReferences" not in job["metadata"]
    assert job["metadata"]["annotations"]["mailfetch.dev/connection-uid"] == "uid-support"
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["mailfetch-fetcher", "purge"]
    variable, pod_uid = container["env"]
    assert pod_uid["name"] == "POD_UID"
    assert "$" not in variable["value"]
    (told,) = assignment.decode(variable["value"]).connections
    assert (variable["name"], told.name, told.uid) == ("MAILFETCH_PURGE", "support", "uid-support")
    assert told.spec.folder == "$(HOME)"
    projected = {v["name"]: v["projected"]["sources"] for v in pod["volumes"] if "projected" in v}
    assert set(projected) == {"redis"}
    assert [s["secret"]["name"] for s in projected["redis"]] == ["mailfetch-redis"]


def test_the_names_of_jobs_differ_by_object_and_try() -> None:
    sim = purging()
    first = step(sim).purge
    second = step(sim, view(0, "failed", "x", START), after=60).purge
    other = replace(Connection.from_object(sim.obj), uid="another", deleted=datetime(2026, 1, 31, tzinfo=UTC))
    third = plan_connection(other, sim.world()).purge
    jobs = [job["metadata"]["name"] for job in (first, second, third) if job]
    assert len(set(jobs)) == 3
    assert all(len(name) == len("support-purge-abcd") for name in jobs)
