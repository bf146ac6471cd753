"""Deployments, Jobs and Pods as Kubernetes writes them become views."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mailfetch_fetcher.contract import probe
from mailfetch_fetcher.contract.probe import ProbeResult
from mailfetch_operator.model import FetcherView, PodView
from mailfetch_operator.status.observe import observe_fetcher, observe_pod, observe_probe
from tests.unit.operator.pure.sim import KEY, estimate

RESULT = ProbeResult(uid="u", fingerprint="f", time="2026-01-31T12:00:00Z", estimate=estimate(7))


def deployment(generation: int = 2, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": KEY.name, "generation": generation}, "status": status}


def pod(name: str = "p", *, created: str = "2026-01-31T12:00:00Z", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": created}, "status": status}


def container(*, waiting: Any = None, terminated: Any = None, last: Any = None) -> dict[str, Any]:
    state = {"waiting": waiting} if waiting else {"terminated": terminated} if terminated else {"running": {}}
    return {"name": "c", "state": state, "lastState": {"terminated": last} if last else {}}


def test_a_fetcher_that_is_not_there() -> None:
    assert observe_fetcher(KEY, None, []) == FetcherView(key=KEY)


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"observedGeneration": 2, "updatedReplicas": 1, "readyReplicas": 1}, True),
        ({"observedGeneration": 1, "updatedReplicas": 1, "readyReplicas": 1}, False),
        ({"observedGeneration": 2, "updatedReplicas": 0, "readyReplicas": 1}, False),
        ({"observedGeneration": 2, "updatedReplicas": 1}, False),
        ({}, False),
    ],
)
def test_ready_means_rolled_out_and_ready(status: dict[str, Any], ready: bool) -> None:
    assert observe_fetcher(KEY, deployment(**status), []).ready is ready


def test_a_fresh_deployment_without_a_status() -> None:
    assert not observe_fetcher(KEY, {"metadata": {"name": KEY.name, "generation": 1}}, []).ready


def test_a_quota_that_forbids_the_pod() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    view = observe_fetcher(KEY, deployment(conditions=[condition]), [])
    assert view.message == "FailedCreate (exceeded quota)"


def test_a_pod_that_goes_away_says_nothing() -> None:
    going = pod(containerStatuses=[container(waiting={"reason": "CrashLoopBackOff"})])
    going["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    view = observe_fetcher(KEY, deployment(), [going])
    assert (view.pods, view.message) == ((), "")


def test_a_ready_pod() -> None:
    found = pod(
        phase="Running",
        podIP="10.0.0.7",
        conditions=[{"type": "Ready", "status": "True"}],
        containerStatuses=[container(last={"reason": "OOMKilled"})],
    )
    assert observe_pod(found) == PodView(name="p", uid="uid-p", ip="10.0.0.7", ready=True, phase="Running")


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ({"containerStatuses": [container(waiting={"reason": "ContainerCreating"})]}, ""),
        ({"containerStatuses": [container()]}, ""),
        (
            {"containerStatuses": [container(waiting={"reason": "ImagePullBackOff", "message": "not found"})]},
            "ImagePullBackOff (not found)",
        ),
        (
            {
                "containerStatuses": [
                    container(
                        waiting={"reason": "CrashLoopBackOff", "message": "back-off 10s"}, last={"reason": "OOMKilled"}
                    )
                ]
            },
            "CrashLoopBackOff, last exit: OOMKilled (back-off 10s)",
        ),
        ({"containerStatuses": [container(terminated={"reason": "OOMKilled"})]}, "OOMKilled"),
        ({"containerStatuses": [container(terminated={"reason": "Completed"})]}, ""),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}
                ]
            },
            "Unschedulable (no cpu)",
        ),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, "Evicted (low on memory)"),
        ({}, ""),
    ],
)
def test_problems_of_a_pod(status: dict[str, Any], problem: str) -> None:
    assert observe_pod(pod(**status)).problem == problem
    view = observe_fetcher(KEY, deployment(), [pod(**status)])
    assert view.message == problem


def job(*conditions: dict[str, Any], annotations: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    notes = {"mailfetch.dev/fingerprint": "f", "mailfetch.dev/serial": "3"} if annotations is None else annotations
    return {
        "metadata": {"name": "support-probe-abcd", "annotations": notes},
        "status": {"conditions": list(conditions)} | status,
    }


def ended(message: str, reason: str = "Completed") -> dict[str, Any]:
    return container(terminated={"reason": reason, "message": message})


def test_a_probe_that_succeeded() -> None:
    done = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-01-31T12:00:09Z"}
    annotations = {
        "mailfetch.dev/fingerprint": "f",
        "mailfetch.dev/serial": "3",
        "mailfetch.dev/request-test": "r1",
    }
    view = observe_probe(
        job(done, annotations=annotations, completionTime="2026-01-31T12:00:08Z"),
        [pod(containerStatuses=[ended(probe.encode(RESULT).decode())])],
    )
    assert view.state == "succeeded"
    assert (view.job_name, view.fingerprint, view.serial) == ("support-probe-abcd", "f", 3)
    assert view.requests == {"test": "r1"}
    assert view.result == RESULT
    assert view.finished_at == datetime(2026, 1, 31, 12, 0, 8, tzinfo=UTC)


def test_a_probe_that_failed_without_a_result() -> None:
    failed = {
        "type": "Failed",
        "status": "True",
        "message": "Job was active longer than specified deadline",
        "lastTransitionTime": "2026-01-31T12:05:00Z",
    }
    view = observe_probe(job(failed), [pod(containerStatuses=[ended("{half of a", "OOMKilled")])])
    assert (view.state, view.result) == ("failed", None)
    assert view.problem == "OOMKilled; Failed (Job was active longer than specified deadline)"
    assert view.finished_at == datetime(2026, 1, 31, 12, 5, tzinfo=UTC)


def test_a_probe_that_does_not_start() -> None:
    view = observe_probe(job(), [pod(containerStatuses=[container(waiting={"reason": "ErrImagePull"})])])
    assert (view.state, view.problem, view.finished_at) == ("running", "ErrImagePull ()", None)


def test_of_several_tries_the_last_result_counts() -> None:
    old = ProbeResult(uid="u", fingerprint="f", time="2026-01-31T11:00:00Z")
    pods = [
        pod("b", created="2026-01-31T12:00:00Z", containerStatuses=[ended(probe.encode(RESULT).decode())]),
        pod("a", created="2026-01-31T11:00:00Z", containerStatuses=[ended(probe.encode(old).decode(), "Error")]),
    ]
    assert observe_probe(job(), pods).result == RESULT


@pytest.mark.parametrize("message", ["{half of a", '{"x":' + "[" * 4000, "\0", '{"uid":"\\ud800"}'])
def test_a_result_that_cannot_be_read_is_none(message: str) -> None:
    assert observe_probe(job(), [pod(containerStatuses=[ended(message)])]).result is None


@pytest.mark.parametrize("serial", ["many", "-1", "9" * 5000])
def test_a_job_that_somebody_edited(serial: str) -> None:
    view = observe_probe(job(annotations={"mailfetch.dev/serial": serial}), [])
    assert (view.fingerprint, view.serial, view.requests) == ("", 0, {})
