"""Probe Jobs: when one is wanted, back-off, requests and what they leave in the status."""

from typing import Any

import pytest

from mailfetch_operator.desired.probe import TTL_SECONDS
from mailfetch_operator.status.times import rfc3339
from tests.unit.operator.pure.sim import STEPS, Sim, opened, problem


def test_a_test_of_a_disabled_connection() -> None:
    sim = Sim(test="r1")
    sim.settle()
    assert sim.running
    assert sim.running.requests == {"test": "r1"}
    sim.count(1234)
    sim.settle()
    assert sim.status["test"]["result"] == "Succeeded"
    assert sim.status["test"]["request"] == "r1"
    assert sim.status["test"]["steps"][0] == {"name": "dns", "ok": True, "detail": "", "milliseconds": 3}
    assert sim.status["handledRequests"] == {"test": "r1"}
    assert sim.status["estimate"]["newMessages"] == 1234
    assert sim.state() == ("True", "Disabled")
    assert not sim.running


def test_a_request_is_done_once_per_value() -> None:
    sim = Sim(estimate="e1")
    sim.settle()
    sim.count(10)
    sim.settle()
    sim.expire_jobs()
    sim.settle()
    assert not sim.jobs
    sim.annotate(estimate="e2")
    sim.settle()
    assert sim.running
    sim.count(11)
    sim.settle()
    assert sim.status["handledRequests"] == {"estimate": "e2"}
    assert sim.status["estimate"]["newMessages"] == 11


def test_a_failed_test_is_done_too() -> None:
    sim = Sim(test="r1")
    sim.settle()
    failed = STEPS[:4]
    sim.end_probe(steps=failed, problem=problem())
    sim.settle()
    assert sim.status["test"]["result"] == "Failed"
    assert sim.status["handledRequests"] == {"test": "r1"}
    assert sim.state() == ("True", "Disabled")
    assert sim.state("ConnectionVerified") == ("False", "AuthFailed")
    sim.after(3600)
    sim.settle()
    assert not sim.running


def test_a_killed_probe_answers_its_request() -> None:
    sim = Sim(test="r1")
    sim.settle()
    sim.end_probe()
    sim.settle()
    assert sim.status["test"] == {"result": "Failed", "request": "r1"}
    assert sim.status["handledRequests"] == {"test": "r1"}


def test_a_request_while_a_probe_runs_is_done_after_it() -> None:
    sim = Sim(enable="true")
    sim.settle()
    first = sim.running
    sim.annotate(test="r1")
    sim.settle()
    assert sim.running == first
    sim.count(5)
    sim.settle()
    assert sim.running
    assert sim.running.requests == {"test": "r1"}
    sim.count(5)
    sim.settle()
    assert sim.status["handledRequests"] == {"test": "r1"}


def test_both_requests_are_done_by_one_job() -> None:
    sim = opened(5)
    sim.expire_jobs()
    sim.annotate(test="r1", estimate="e1")
    sim.settle()
    assert len(sim.jobs) == 1
    sim.count(0)
    sim.settle()
    assert sim.status["handledRequests"] == {"test": "r1", "estimate": "e1"}
    assert sim.status["estimate"]["newMessages"] == 0
    assert sim.state() == ("True", "Idle")


def test_a_changed_spec_replaces_the_running_job() -> None:
    sim = Sim(enable="true")
    sim.settle()
    first = sim.running
    sim.edit(folder="Archive")
    sim.settle()
    assert first
    assert first.job_name not in sim.jobs
    assert len(sim.jobs) == 1


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("ConnectionFailed", [10, 20, 40, 60, 60, 60, 60, 60]), ("AuthFailed", [10, 20, 40, 80, 160, 320, 480, 480])],
)
def test_failures_are_tried_again_with_back_off_and_without_any_pile_of_jobs(reason: Any, expected: list[int]) -> None:
    """A refused login is repeated slowly: it may lock the account."""
    sim = Sim(enable="true")
    sim.settle()
    pauses = []
    for _ in expected:
        sim.end_probe(steps=STEPS[:1], problem=problem(reason))
        plan = sim.settle()
        assert not sim.running
        assert plan.requeue_after
        pauses.append(plan.requeue_after)
        sim.after(plan.requeue_after - 0.5)
        sim.settle()
        assert not sim.running
        sim.after(0.5)
        sim.settle()
        assert sim.running
        assert len(sim.jobs) <= 2
    assert pauses == expected
    assert pauses[-1] < TTL_SECONDS, "or the ended Job would be gone, and with it the count"


def test_failing_for_hours_is_written_once() -> None:
    sim = Sim(enable="true")
    sim.settle()
    sim.end_probe(steps=STEPS[:1], problem=problem("ConnectionFailed"))
    sim.settle()
    writes = sim.writes
    for _ in range(20):
        sim.after(61)
        sim.settle()
        sim.end_probe(steps=STEPS[:1], problem=problem("ConnectionFailed"))
        sim.settle()
    assert sim.writes == writes


def test_the_state_that_was_found_is_shown() -> None:
    sim = Sim(enable="true")
    sim.settle()
    job = sim.running
    assert job
    sim.count(5)
    sim.settle()
    assert sim.status["probe"] == {
        "fingerprint": job.fingerprint,
        "uid": "uid-support",
        "stateId": "",
        "sameMailbox": True,
        "gateEpoch": 0,
        "moved": False,
        "checkedAt": rfc3339(sim.now),
    }
    assert sim.status["estimate"] == {
        "newMessages": 5,
        "totalMessages": 20,
        "unseenMessages": 1,
        "mailbox": "New",
        "accuracy": "Exact",
        "confidence": "High",
        "method": "UidRange",
        "checkedAt": rfc3339(sim.now),
        "fingerprint": job.fingerprint,
    }


def test_a_fetch_request_goes_to_the_fetcher_and_comes_back() -> None:
    sim = opened(5)
    sim.annotate(fetch="f1")
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.requests == {"fetch": "f1"}
    sim.change_report(requests={"fetch": "f1"})
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.requests == {}
    assert sim.status["handledRequests"] == {"fetch": "f1"}


def test_an_endless_value_of_a_request_is_cut() -> None:
    sim = Sim(test="x" * 5000)
    sim.settle()
    sim.count(5)
    sim.settle()
    assert sim.status["handledRequests"] == {"test": "x" * 253}
    assert not sim.running


def test_a_refetch_goes_to_the_fetcher_until_it_says_that_it_is_done() -> None:
    sim = opened(5)
    sim.annotate(refetch="uid:5,7-9")
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.requests == {"refetch": "uid:5,7-9"}
    sim.change_report(requests={"refetch": "another"})
    sim.settle()
    assert "handledRequests" not in sim.status
    sim.change_report(requests={"refetch": "uid:5,7-9"})
    plan = sim.settle()
    assert sim.status["handledRequests"] == {"refetch": "uid:5,7-9"}
    assert plan.assignment
    assert plan.assignment.requests == {}
    sim.annotate(refetch="uid:5,7-9#again")
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.requests == {"refetch": "uid:5,7-9#again"}


def test_the_permission_to_resume_actions_reaches_the_fetcher_and_stays() -> None:
    """It is no single order: the fetcher looks at it again whenever the store has gone back."""
    sim = opened(5)
    sim.annotate(**{"resume-actions": "1000"})
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.requests == {"resume-actions": "1000"}
    sim.change_report(requests={"resume-actions": "1000"})
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.requests == {"resume-actions": "1000"}
    assert sim.status["handledRequests"] == {"resume-actions": "1000"}
    sim.annotate(**{"resume-actions": "9" * 200})
    plan = sim.settle()
    assert plan.assignment
    assert plan.assignment.requests == {"resume-actions": "9" * 20}, "a ConfigMap has a size"


def test_a_request_is_done_by_the_fetcher_of_this_object_only() -> None:
    """The report about one of the same name that was deleted may still be there."""
    sim = opened(5)
    sim.change_report(uid="of the former", requests={"fetch": "f1"})
    sim.annotate(fetch="f1")
    plan = sim.settle()
    assert "handledRequests" not in sim.status
    assert plan.assignment
    assert plan.assignment.requests == {"fetch": "f1"}
