"""The order of what a reconcile writes, with plans that the test dictates and an API that refuses when told to."""

import asyncio
import json

import pytest

from mailfetch_fetcher.contract import assignment as contract
from mailfetch_fetcher.contract import probe
from mailfetch_fetcher.contract.assignment import Assignments
from mailfetch_fetcher.contract.probe import ProbeResult
from mailfetch_operator.api.client import ApiError, ConflictError, NotFoundError
from mailfetch_operator.model import EventPlan, Key
from mailfetch_operator.plan import ConnectionPlan
from mailfetch_operator.reconcile import RESYNC, SETTLE
from tests.unit.operator.io.desk import FETCHER, NOW, Desk, given


def test_an_assignment_is_given_only_after_its_status_was_written(desk: Desk) -> None:
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 1}}, assignment=given(desk))
    desk.api.refuse["status"] = ApiError(500, "no")
    with pytest.raises(ApiError):
        desk.work()
    assert desk.work_fetcher() == []
    assert desk.added == []

    desk.api.refuse.clear()
    desk.work()
    assert desk.added == [Key("fetcher", "ns", FETCHER.name)]
    assert desk.work_fetcher() == ["one"]
    assert desk.api.log == ["status", "apply ConfigMap", "apply Deployment"]


def test_an_assignment_is_taken_away_even_if_the_status_cannot_be_written(desk: Desk) -> None:
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 1}}, assignment=given(desk))
    desk.work()
    desk.work_fetcher()
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 2}})
    desk.api.refuse["status"] = ApiError(500, "no")
    with pytest.raises(ApiError):
        desk.work()
    desk.work_fetcher()
    assert desk.api.log[-2:] == [
        f"delete Deployment ns/{FETCHER.name} uid-Deployment",
        f"delete ConfigMap ns/{FETCHER.name} uid-ConfigMap",
    ]


def test_nothing_is_given_by_a_plan_from_an_old_object(desk: Desk) -> None:
    """Another operator closed the gate; this one did not hear of it yet, and its plan still says that it is open."""
    desk.make()
    event = EventPlan(type="Normal", reason="Approved", action="Approve", note="n")
    desk.plans["one"] = ConnectionPlan(
        status={"approval": {"epoch": 1, "source": "Annotation"}}, assignment=given(desk), events=(event,)
    )
    newer = json.loads(json.dumps(desk.api.objects["one"])) | {"status": {"approval": {"epoch": 2}}}
    newer["metadata"]["resourceVersion"] = "2"
    desk.api.objects["one"] = newer
    assert desk.work() == SETTLE
    assert desk.api.log == [], "neither a status nor an event"
    assert desk.work_fetcher() == []
    assert desk.api.objects["one"]["status"] == {"approval": {"epoch": 2}}

    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 2}})
    desk.work()
    assert desk.seen[-1][0].status == {"approval": {"epoch": 2}}, "it was read anew, watch or no watch"


def test_an_object_that_is_gone_when_it_is_read_anew_is_forgotten(desk: Desk) -> None:
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 1}}, assignment=given(desk))
    desk.api.refuse["status"] = ConflictError(409, "the object has been modified")
    desk.api.refuse["get one"] = NotFoundError(404, "gone")
    desk.work()
    assert desk.cache.get("MailConnection", "ns", "one") is None
    assert desk.work_fetcher() == []
    assert desk.work() is None


def test_the_next_plan_starts_from_the_status_that_was_written(desk: Desk) -> None:
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 7}})
    assert desk.work() == SETTLE
    desk.work()
    (first, early), (second, late) = desk.seen
    assert (first.status, early.last_written) == ({}, None)
    assert (second.status, late.last_written) == ({"approval": {"epoch": 7}}, NOW)
    assert desk.api.log == ["status"], "an equal status is not written again"


def test_an_older_event_does_not_bring_the_former_status_back(desk: Desk) -> None:
    desk.make(version=1)
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 7}})
    desk.work()
    desk.make(version=2)
    desk.work()
    assert desk.seen[-1][0].status == {"approval": {"epoch": 7}}


def test_events_are_sent_after_the_status_and_not_without_it(desk: Desk) -> None:
    desk.make()
    event = EventPlan(type="Normal", reason="Approved", action="Approve", note="n")
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 1}}, events=(event,))
    desk.api.refuse["status"] = ApiError(500, "no")
    with pytest.raises(ApiError):
        desk.work()
    assert desk.api.log == []
    desk.api.refuse.clear()
    desk.work()
    assert desk.api.log == ["status", "create Event Approved"]


def test_an_event_that_is_refused_fails_nothing(desk: Desk) -> None:
    desk.make()
    event = EventPlan(type="Normal", reason="Approved", action="Approve", note="n")
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 1}}, events=(event,), assignment=given(desk))
    desk.api.refuse["create Event Approved"] = ApiError(403, "no")
    assert desk.work() == SETTLE
    assert desk.work_fetcher() == ["one"]


def test_an_object_that_is_gone_is_forgotten(desk: Desk) -> None:
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 1}})
    desk.api.refuse["status"] = NotFoundError(404, "gone")
    desk.work()
    assert desk.cache.get("MailConnection", "ns", "one") is None
    assert desk.work() is None


def test_what_people_changed_while_the_status_was_written_is_not_missed(desk: Desk) -> None:
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={"approval": {"epoch": 1}})
    desk.api.meanwhile = lambda answer: answer["metadata"].update(annotations={"mailfetch.dev/enable": "true"})
    desk.work()
    assert desk.added[-1] == Key("connection", "ns", "one")


def test_a_deleted_connection_leaves_its_fetcher(desk: Desk) -> None:
    for name in ("one", "two"):
        obj = desk.make(name)
        desk.plans[name] = ConnectionPlan(status={"x": 1}, assignment=given(desk, name))
        desk.work(name)
    assert desk.work_fetcher() == ["one", "two"]
    desk.cache.remove("MailConnection", obj)
    desk.added.clear()
    desk.work("two")
    assert desk.added == [Key("fetcher", "ns", FETCHER.name)]
    assert desk.work_fetcher() == ["one"]


def test_after_a_restart_connections_keep_what_they_had_until_they_are_decided(desk: Desk) -> None:
    for name in ("one", "two", "never-had-any"):
        desk.make(name)
    live = tuple(given(desk, name, seq=3) for name in ("one", "two"))
    desk.has_config_map(contract.encode(Assignments(cluster_id="cluster", connections=live)))
    desk.plans["one"] = ConnectionPlan(status={})  # disabled meanwhile
    desk.work("one")
    assert desk.work_fetcher() == ["two"]


def test_a_namesake_does_not_inherit_an_assignment(desk: Desk) -> None:
    desk.make()
    live = given(desk)
    desk.make(uid="another", version=9)
    desk.has_config_map(contract.encode(Assignments(cluster_id="cluster", connections=(live,))))
    asyncio.run(desk.reconciler.work(Key("fetcher", "ns", FETCHER.name)))
    assert desk.api.log == [], "nothing is decided about it yet, so nothing is torn down either"
    desk.plans["one"] = ConnectionPlan(status={})
    desk.work()
    desk.work_fetcher()
    assert desk.api.log == [f"delete ConfigMap ns/{FETCHER.name} cm"]


@pytest.mark.parametrize("text", ["{", '{"x":' + "[" * 100_000])
def test_an_unreadable_config_map_is_not_torn_down_before_anything_is_decided(desk: Desk, text: str) -> None:
    desk.make()
    desk.has_config_map(text)
    asyncio.run(desk.reconciler.work(Key("fetcher", "ns", FETCHER.name)))
    assert desk.api.log == []
    desk.plans["one"] = ConnectionPlan(status={}, assignment=given(desk))
    desk.work()
    assert desk.work_fetcher() == ["one"]


@pytest.mark.parametrize(("asked", "due"), [(None, RESYNC), (7.0, 7.0), (99_999.0, RESYNC)])
def test_every_connection_is_looked_at_again(desk: Desk, asked: float | None, due: float) -> None:
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={}, requeue_after=asked)
    assert desk.work() == due


def test_a_namesake_does_not_inherit_what_was_decided_about_the_former(desk: Desk) -> None:
    for name in ("one", "two"):
        desk.make(name)
        desk.plans[name] = ConnectionPlan(status={}, assignment=given(desk, name))
        desk.work(name)
    assert desk.work_fetcher() == ["one", "two"]
    desk.make("one", uid="another", version=9)
    assert desk.work_fetcher() == ["two"], "before anything is decided about the new one"


def test_another_fetcher_is_given_nothing_before_it_is_decided(desk: Desk) -> None:
    obj = desk.make()
    desk.plans["one"] = ConnectionPlan(status={}, assignment=given(desk))
    desk.work()
    moved = json.loads(json.dumps(obj))
    moved["metadata"]["resourceVersion"] = "9"
    moved["spec"]["placement"] = {"mode": "Shared", "pool": "slow"}
    desk.cache.put("MailConnection", moved)
    asyncio.run(desk.reconciler.work(Key("fetcher", "ns", "mailfetch-pool-slow")))
    assert desk.cache.get("ConfigMap", "ns", "mailfetch-pool-slow") is None


@pytest.mark.parametrize(("job_of", "pod_of"), [("uid-one", "job"), ("somebody", "job"), ("uid-one", "another job")])
def test_only_a_probe_of_our_own_is_believed(desk: Desk, job_of: str, pod_of: str) -> None:
    """Labels can be written by anybody who may create a Job or a pod."""
    result = ProbeResult(uid="uid-one", fingerprint="f", time="2026-01-01T00:00:00Z")
    labels = {"mailfetch.dev/connection": "one", "app.kubernetes.io/name": "mailfetch-probe"}
    meta = {"namespace": "ns", "resourceVersion": "5", "labels": labels}
    job = {**meta, "name": "one-probe-abcd", "uid": "job", "ownerReferences": [{"uid": job_of}]}
    pod = {**meta, "name": "p", "uid": "pod", "ownerReferences": [{"uid": pod_of}]}
    ended = {"terminated": {"message": probe.encode(result).decode()}}
    desk.cache.put("Job", {"metadata": job, "status": {}})
    desk.cache.put("Pod", {"metadata": pod, "status": {"containerStatuses": [{"state": ended}]}})
    desk.make()
    desk.plans["one"] = ConnectionPlan(status={})
    desk.work()
    found = [view.result for view in desk.seen[-1][1].probes]
    assert found == {("uid-one", "job"): [result], ("somebody", "job"): []}.get((job_of, pod_of), [None])


def test_the_groups_of_a_stream_are_those_of_all_its_connections(desk: Desk) -> None:
    for name, queue in (("one", {"stream": "all"}), ("two", {"stream": "all", "consumerGroups": ["a"]}), ("all", {})):
        obj = json.loads(json.dumps(desk.make(name)))
        obj["metadata"]["resourceVersion"] = "9"
        obj["spec"]["queue"] = queue
        desk.cache.put("MailConnection", obj)
        desk.plans[name] = ConnectionPlan(status={})
        desk.work(name)
    assert [world.consumer_groups for _, world in desk.seen] == [set(), {"a"}, {"a"}]
