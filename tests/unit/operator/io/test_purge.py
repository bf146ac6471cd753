"""Finalizer and purge Job: what is written in which order, and what is left alone."""

import json
from typing import Any

import pytest

from mailfetch_operator.api.client import ApiError, NamespaceEndsError
from mailfetch_operator.model import EventPlan, Key
from mailfetch_operator.plan import ConnectionPlan
from mailfetch_operator.reconcile import SETTLE
from tests.unit.operator.io.desk import Desk, given

FINALIZER = "mailfetch.dev/purge"
OTHER = "example.com/other"
PURGED = EventPlan(type="Normal", reason="Purged", action="Purge", note="n")


def job() -> dict[str, Any]:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "one-purge-abcd", "namespace": "ns"}}


def deleted(desk: Desk, *finalizers: str) -> None:
    desk.make(finalizers=list(finalizers), deletionTimestamp="2026-01-01T00:00:00Z")


def test_the_finalizer_comes_before_anything_that_would_have_to_be_purged(desk: Desk) -> None:
    desk.make(finalizers=[OTHER])
    desk.plans["one"] = ConnectionPlan(status={"x": 1}, assignment=given(desk), finalizer=True)
    assert desk.work() == 0.0
    assert desk.api.log == [f"finalizers {OTHER} {FINALIZER}"]
    assert desk.work_fetcher() == []
    desk.plans["one"] = ConnectionPlan(status={"x": 1}, assignment=given(desk))
    desk.work()
    assert desk.seen[-1][0].held
    assert desk.work_fetcher() == ["one"]


def test_without_the_right_to_do_it_nothing_is_downloaded(desk: Desk) -> None:
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={"x": 1}, assignment=given(desk), finalizer=True)
    desk.api.refuse[f"finalizers {FINALIZER}"] = ApiError(403, "forbidden")
    with pytest.raises(ApiError):
        desk.work()
    assert desk.work_fetcher() == []


def test_a_finalizer_is_not_written_over_a_change(desk: Desk) -> None:
    desk.make()
    newer = json.loads(json.dumps(desk.api.objects["one"]))
    newer["metadata"] |= {"resourceVersion": "2", "finalizers": [OTHER]}
    desk.api.objects["one"] = newer
    desk.plans["one"] = ConnectionPlan(status={"x": 1}, finalizer=True)
    assert desk.work() == SETTLE
    assert desk.api.objects["one"]["metadata"]["finalizers"] == [OTHER]
    desk.work()
    assert desk.api.objects["one"]["metadata"]["finalizers"] == [OTHER, FINALIZER]


def test_retain_takes_only_ours_away(desk: Desk) -> None:
    desk.make(finalizers=[FINALIZER, OTHER])
    desk.plans["one"] = ConnectionPlan(status={"x": 1}, assignment=given(desk), finalizer=False)
    desk.work()
    assert desk.api.log == ["status", f"finalizers {OTHER}"]
    assert desk.work_fetcher() == ["one"], "it goes on"


def test_the_assignment_goes_before_the_job_is_made(desk: Desk) -> None:
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={"x": 1}, assignment=given(desk))
    desk.work()
    desk.added.clear()
    desk.make(version=2000, finalizers=[FINALIZER], deletionTimestamp="2026-01-01T00:00:00Z")
    desk.plans["one"] = ConnectionPlan(status={"x": 2}, purge=job())
    desk.work()
    assert desk.added[0] == Key("fetcher", "ns", "mailfetch-pool-default")
    assert desk.api.log[-2:] == ["create Job", "status"]


def test_in_the_end_the_finalizer_goes_then_the_event_then_the_object(desk: Desk) -> None:
    deleted(desk, FINALIZER)
    desk.plans["one"] = ConnectionPlan(status={}, finalizer=False, events=(PURGED,))
    desk.work()
    assert desk.api.log == ["finalizers", "create Event Purged"]
    assert desk.cache.get("MailConnection", "ns", "one") is None
    assert desk.work() is None


def test_finalizers_of_others_keep_the_object(desk: Desk) -> None:
    deleted(desk, FINALIZER, OTHER)
    desk.plans["one"] = ConnectionPlan(status={}, finalizer=False, events=(PURGED,))
    desk.work()
    found = desk.cache.get("MailConnection", "ns", "one")
    assert found
    assert found["metadata"]["finalizers"] == [OTHER]


def test_the_event_is_not_sent_while_the_finalizer_cannot_be_removed(desk: Desk) -> None:
    deleted(desk, FINALIZER)
    desk.plans["one"] = ConnectionPlan(status={}, finalizer=False, events=(PURGED,))
    desk.api.refuse["finalizers"] = ApiError(500, "no")
    with pytest.raises(ApiError):
        desk.work()
    assert desk.api.log == []


def test_a_job_that_a_deleted_namespace_refuses_calls_for_another_plan(desk: Desk) -> None:
    deleted(desk, FINALIZER)
    desk.plans["one"] = ConnectionPlan(status={}, purge=job())
    desk.api.refuse["create Job"] = NamespaceEndsError(403, "being terminated")
    assert desk.work() == SETTLE
    assert desk.seen[-1][1].namespace_ends is False
    desk.work()
    assert desk.seen[-1][1].namespace_ends is True


def test_other_refusals_of_a_job_are_tried_again(desk: Desk) -> None:
    deleted(desk, FINALIZER)
    desk.plans["one"] = ConnectionPlan(status={}, purge=job())
    desk.api.refuse["create Job"] = ApiError(403, "exceeded quota")
    with pytest.raises(ApiError):
        desk.work()


def test_probe_and_purge_jobs_are_told_apart_and_a_namesakes_is_not_ours(desk: Desk) -> None:
    base = {"namespace": "ns", "resourceVersion": "5", "ownerReferences": []}
    labels = {"mailfetch.dev/connection": "one", "app.kubernetes.io/name": "mailfetch-purge"}
    for name, uid in (("one-purge-aaaa", "uid-one"), ("one-purge-bbbb", "uid of a namesake")):
        notes = {"mailfetch.dev/connection-uid": uid, "mailfetch.dev/serial": "3"}
        desk.cache.put("Job", {"metadata": {**base, "name": name, "uid": name, "labels": labels, "annotations": notes}})
    deleted(desk, FINALIZER)
    desk.plans["one"] = ConnectionPlan(status={})
    desk.work()
    world = desk.seen[-1][1]
    assert [(p.job_name, p.serial) for p in world.purges] == [("one-purge-aaaa", 3)]
    assert world.probes == ()
